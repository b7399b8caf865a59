// The launches of a rule that sees matrices, in the order of schedule.cpp.
#pragma once
#include <vector>

#include "sweep.cuh"
#include "values.cuh"

namespace fusedopt::cuda {

template <class Part, int threads>
__global__ void __launch_bounds__(threads, Part::resident)
    matrix_kernel(const MatrixWork work, const Chunk* chunks, const ScalarTable table) {
  __shared__ typename Part::Shared shared;
  Part::run(work, table, chunks[blockIdx.x], threadIdx.x, shared);
}

template <class Rule, class T, class Kernel>
void add_kernels(std::vector<const void*>& kernels) {
  using Over =
      std::conditional_t<Kernel::domain == Shape::element, Sweep<Rule, Kernel, T>, ValuesKernel<Rule, Kernel, T>>;
  kernels.push_back(reinterpret_cast<const void*>(&matrix_kernel<Over, kThreads>));
  if constexpr (Kernel::sums::count > 0)
    kernels.push_back(reinterpret_cast<const void*>(&matrix_kernel<TotalsKernel<Rule, Kernel, T>, kTotalThreads>));
  else
    kernels.push_back(nullptr);
}

template <class Rule, class T, class... Kernel>
std::vector<const void*> all_kernels(Kernels<Kernel...>) {
  std::vector<const void*> kernels;
  (add_kernels<Rule, T, Kernel>(kernels), ...);
  return kernels;
}

// Instantiated by each rule's own translation unit; launch.cu only declares it.
template <class Rule>
std::vector<const void*> kernels_of(bool fp64) {
  return fp64 ? all_kernels<Rule, double>(typename Rule::List()) : all_kernels<Rule, float>(typename Rule::List());
}

}  // namespace fusedopt::cuda
