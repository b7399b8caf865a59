// Chooses the ISA once per process, and runs a table's tasks on all threads.
#pragma once
#include <string>
#include <vector>

#include "../table.h"
#include "kernels.h"

namespace fusedopt {

// The best ISA of this CPU among those compiled in, or the one FUSEDOPT_ISA names.
const Isa& kernels();
std::vector<std::string> compiled_isas();
std::vector<std::string> compiled_rules();
// Adds the rules of a library that was compiled from kernels.cpp for this ISA; it stays loaded.
void load_rules(const std::string& library);

// `seen`: what the step did to every tensor, zeros to begin with, or null.
void cpu_step(const Table& table, const std::string& rule, bool fp64, const Scalars& scalars, int threads, Seen* seen);
// The sum of all squared gradients, the same for any number of threads and any ISA.
double cpu_sum_squares(const Table& table, bool fp64, int threads);

}  // namespace fusedopt
