// The block engine on the GPU: one launch walks all chunks of a bucket; load and decode every stream of a pack, run
// modifiers and rule in registers, encode and store. It knows no rule.
#pragma once
#include "../rules/layout.h"
#include "../rules/modifiers.h"
#include "walk.cuh"

namespace fusedopt::cuda {

// The scalars of one row in the arithmetic type.
template <class Rule, class T>
struct Scalars {
  T lr, decay, l2, gradient, cautious, rule[Rule::scalars + 1];

  FUSEDOPT_INLINE void read(const ScalarTable& table, int row) {
    const double* from = table.values + static_cast<int64_t>(row) * table.columns;
    lr = static_cast<T>(from[column::lr]);
    decay = static_cast<T>(from[column::decay]);
    l2 = static_cast<T>(from[column::l2]);
    gradient = static_cast<T>(from[column::gradient_sign]);
    if (table.coefficient) gradient = gradient * static_cast<T>(*table.coefficient);
    cautious = static_cast<T>(from[column::cautious]);
    for (int i = 0; i < Rule::scalars; ++i) rule[i] = static_cast<T>(from[column::count + i]);
  }
};

template <class Rule, class T>
FUSEDOPT_INLINE void update(const Scalars<Rule, T>& k, T g, T& p, T* s) {
  g = k.gradient * g;
  if (k.l2 != 0) g = l2(g, p, k.l2);
  T u = Rule::template update<T>(g, p, s, k.rule);
  if (k.cautious != 0) u = cautious(u, g);
  T step = k.lr * u;
  if (k.decay != 0) step = decoupled(step, p, k.decay);
  p = p - step;
}

template <class Rule, class T, int W>
FUSEDOPT_INLINE void step_pack(const Row& row, const Scalars<Rule, T>& k, int64_t element) {
  constexpr int streams = kFirstState + Rule::states;
  Raw raw[streams];
  T value[streams][W];
#pragma unroll
  for (int s = 0; s < streams; ++s) raw[s] = load<W>(row, s, element);  // all in flight before the first is used
#pragma unroll
  for (int s = 0; s < streams; ++s) decode(raw[s], row.dtype(s), value[s]);
#pragma unroll
  for (int i = 0; i < W; ++i) {
    T state[Rule::states + 1];
#pragma unroll
    for (int s = 0; s < Rule::states; ++s) state[s] = value[kFirstState + s][i];
    update(k, value[kGrad][i], value[kParam][i], state);
#pragma unroll
    for (int s = 0; s < Rule::states; ++s) value[kFirstState + s][i] = state[s];
  }
#pragma unroll
  for (int s = kParam; s < streams; ++s) store<W>(row, s, element, encode(value[s], row.dtype(s)));
}

// One thread's share of a chunk.
template <class Rule, class T>
FUSEDOPT_INLINE void step_span(const Span& span, const Scalars<Rule, T>& k, int thread) {
  walk<T, kFirstState + Rule::states>(span, thread, [&](auto width, int64_t element) {
    step_pack<Rule, T, decltype(width)::value>(span.row, k, element);
  });
}

#ifdef __CUDACC__
// The fewest blocks on a multiprocessor: some 40 KB of loads in flight, and no register spilled up to kMaxStreams.
template <class Rule>
constexpr int kResident = Rule::states <= 3 ? 3 : 2;

// Row and scalars stand in shared memory: in registers they would halve the number of resident warps.
template <class Rule, class T>
__global__ void __launch_bounds__(kThreads, kResident<Rule>) step_kernel(const Work work, const ScalarTable table) {
  __shared__ Span span;
  __shared__ Scalars<Rule, T> k;
  for (int chunk = blockIdx.x; chunk < work.count; chunk += gridDim.x) {
    if (threadIdx.x == 0) {
      span.read(work, chunk);
      k.read(table, span.row.scalars);
    }
    __syncthreads();
    step_span(span, k, threadIdx.x);
    __syncthreads();
  }
}

// Instantiated by each rule's own translation unit; launch.cu only declares it.
template <class Rule>
const void* kernel_of(bool fp64) {
  return fp64 ? reinterpret_cast<const void*>(&step_kernel<Rule, double>)
              : reinterpret_cast<const void*>(&step_kernel<Rule, float>);
}
#endif

}  // namespace fusedopt::cuda
