// The kernels of a rule that sees matrices.
#pragma once
#include <vector>

#include "sweep.cuh"
#include "values.cuh"

namespace fusedopt::cuda {

template <class Part>
__global__ void __launch_bounds__(kThreads, Part::resident)
    matrix_kernel(const MatrixWork work, const Chunk* chunks, const ScalarTable table) {
  __shared__ typename Part::Shared shared;
  Part::run(work, table, chunks[blockIdx.x], threadIdx.x, shared);
}

template <class Rule, class T, class Kernel>
const void* kernel_of() {
  using Part = std::conditional_t<Kernel::domain == Shape::element, Sweep<Rule, Kernel, T>, Values<Rule, Kernel, T>>;
  return reinterpret_cast<const void*>(&matrix_kernel<Part>);
}

template <class Rule, class T, class... Kernel>
std::vector<const void*> all_kernels(Kernels<Kernel...>) {
  return {kernel_of<Rule, T, Kernel>()...};
}

// Instantiated by each rule's own translation unit; launch.cu only declares it.
template <class Rule>
std::vector<const void*> kernels_of(bool fp64) {
  return fp64 ? all_kernels<Rule, double>(typename Rule::List()) : all_kernels<Rule, float>(typename Rule::List());
}

}  // namespace fusedopt::cuda
