// The small launches between sweeps: kernels over row, column, matrix and tensor values, and the ends of sums.
#pragma once
#include "memory.cuh"
#include "sums.cuh"

namespace fusedopt::cuda {

// One value a thread. A sum's terms are kept, for the next launch to add up.
template <class Rule, class Kernel, class T>
struct ValuesKernel {
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

// Adds up what a kernel left of its sums: across in double, every term in its place.
template <class Rule, class Kernel, class T>
struct TotalsKernel {
  static constexpr int resident = 1;
  struct Shared {
    Memory<Rule, T> memory;
    double lane[kTotalThreads];
  };

  FUSEDOPT_DEVICE static void run(const MatrixWork& work, const ScalarTable& table, Chunk chunk, int thread,
                                  Shared& shared) {
    shared.memory.read(work, table, chunk.row, thread);
    int64_t block = chunk.index;
    each<Kernel::sums::count>([&](auto i) {
      constexpr int id = Kernel::sums::at[i];
      const Terms terms = terms_of(shared.memory.plan.tiling, Kernel::domain, Rule::slots[id].shape);
      if (block >= 0 && block < terms.blocks()) total<id>(terms, block, thread, shared);
      block -= terms.blocks();
    });
  }

 private:
  template <int id>
  FUSEDOPT_DEVICE static void total(const Terms& terms, int64_t block, int thread, Shared& shared) {
    constexpr Op op = Rule::slots[id].op;
    const int lanes = terms.lanes(), width = kTotalThreads / lanes;
    const int64_t result = block * width + thread % width;
    double sum = start<op, double>();
    if (result < terms.results()) {
      const int64_t first = result / terms.inner * terms.count * terms.inner + result % terms.inner;
      const T* from = shared.memory.template terms<id>() + first;
#pragma unroll 8
      for (int64_t i = thread / width; i < terms.count; i += lanes)
        sum = combined<op>(sum, static_cast<double>(read<T, Use::again>(from + i * terms.inner)));
    }
    shared.lane[thread] = sum;
    for (int half = lanes / 2; half > 0; half /= 2) {
      barrier();
      if (thread < half * width)
        shared.lane[thread] = combined<op>(shared.lane[thread], shared.lane[thread + half * width]);
    }
    if (thread < width && result < terms.results())
      shared.memory.template values<id>()[result] =
          static_cast<T>(finished<op>(shared.lane[thread], count(shared.memory, terms, Rule::slots[id].shape)));
  }

  FUSEDOPT_DEVICE static int64_t count(const Memory<Rule, T>& memory, const Terms& terms, Shape shape) {
    if (Kernel::domain != Shape::element) return terms.count;
    return shape == Shape::row ? memory.row.cols : shape == Shape::col ? memory.row.rows : memory.row.numel;
  }
};

}  // namespace fusedopt::cuda
