// The ends of sums: adds up what a kernel left of them, across in double, every term in its place.
#pragma once
#include "memory.cuh"
#include "sums.cuh"

namespace fusedopt::cuda {

template <class T>
struct Totals {
  struct Shared {
    Terms terms;
    double lane[kThreads];
  };

  FUSEDOPT_DEVICE static void run(const MatrixWork& work, Chunk chunk, int thread, Shared& shared) {
    copy_words(&shared.terms, work.words + chunk.row, thread);
    barrier();
    const Terms& terms = shared.terms;
    const int width = kThreads / terms.lanes;
    const int64_t result = static_cast<int64_t>(chunk.index) * width + thread % width;
    const bool is_max = terms.op == Op::max;
    const T* scratch = static_cast<const T*>(work.scratch);
    shared.lane[thread] = is_max ? lane<Op::max>(terms, scratch, result, thread / width)
                                 : lane<Op::mean>(terms, scratch, result, thread / width);
    for (int half = terms.lanes / 2; half > 0; half /= 2) {
      barrier();
      if (thread >= half * width) continue;
      const double a = shared.lane[thread], b = shared.lane[thread + half * width];
      shared.lane[thread] = is_max ? combined<Op::max>(a, b) : combined<Op::mean>(a, b);
    }
    if (thread >= width || result >= terms.results()) return;
    const double total = shared.lane[thread];
    results(work, terms)[result] = static_cast<T>(is_max ? total : total / static_cast<double>(terms.divisor));
  }

 private:
  template <Op op>
  FUSEDOPT_DEVICE static double lane(const Terms& terms, const T* scratch, int64_t result, int first) {
    double sum = start<op, double>();
    if (result >= terms.results()) return sum;
    const T* from = scratch + terms.from + result / terms.inner * terms.count * terms.inner + result % terms.inner;
#pragma unroll 8
    for (int64_t i = first; i < terms.count; i += terms.lanes)
      sum = combined<op>(sum, static_cast<double>(read<T, Use::again>(from + i * terms.inner)));
    return sum;
  }

  FUSEDOPT_DEVICE static T* results(const MatrixWork& work, const Terms& terms) {
    if (terms.state >= 0) return static_cast<T*>(work.rows[terms.row].stream[kFirstState + terms.state]);
    return static_cast<T*>(work.scratch) + terms.to;
  }
};

}  // namespace fusedopt::cuda
