// Steps of many phases on all threads, without a barrier: a thread that has nothing left in one tensor's phase goes on
// with the next tensor. Every thread has its own share of a tensor, in all phases, so that later sweeps find it in the
// cache of the cores it ran on: fetching it from another's costs more than from memory.
#pragma once
#include <vector>

#include "kernels.h"

namespace fusedopt {

// `seen`: one for every row, or null.
void step_matrices(const std::vector<Row>& rows, const MatrixSteps& steps, const Scalars& scalars, int threads,
                   Seen* seen);

}  // namespace fusedopt
