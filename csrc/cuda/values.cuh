// The small launches between sweeps: kernels over row, column, matrix and tensor values.
#pragma once
#include "memory.cuh"

namespace fusedopt::cuda {

// One value a thread. A sum's terms are kept, for the next launch to add up.
template <class Rule, class Kernel, class T>
struct Values {
  using Shared = Memory<Rule, T>;
  static constexpr int resident = 1;

  FUSEDOPT_DEVICE static void run(const MatrixWork& work, const ScalarTable& table, Chunk chunk, int thread,
                                  Shared& memory) {
    memory.read(work, table, chunk.row, thread);
    const Tiling& t = memory.plan.tiling;
    const int64_t i = static_cast<int64_t>(chunk.index) * kThreads + thread;
    if (i >= t.values(Kernel::domain)) return;
    T s[Kernel::streams::count + 1], k[Kernel::uniforms::count + 1];
    T out[Kernel::outputs::count + 1], term[Kernel::sums::count + 1];
    each<Kernel::streams::count>(
        [&](auto n) { s[n] = read<T, Use::again>(memory.template values<Kernel::streams::at[n]>() + i); });
    const int64_t matrix = Kernel::domain == Shape::tensor ? 0 : i / (t.values(Kernel::domain) / t.batch);
    each<Kernel::uniforms::count>([&](auto n) { k[n] = memory.template uniform<Kernel::uniforms::at[n]>(matrix, i); });
    Kernel::template update<T>(s, k, out, term);
    each<Kernel::outputs::count>([&](auto n) { memory.template values<Kernel::outputs::at[n]>()[i] = out[n]; });
    each<Kernel::sums::count>([&](auto n) { memory.template terms<Kernel::sums::at[n]>()[i] = term[n]; });
  }
};

}  // namespace fusedopt::cuda
