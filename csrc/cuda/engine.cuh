// The block engine on the GPU: one launch walks all chunks of a bucket; load and decode every stream of a pack, run
// modifiers and rule in registers, encode and store. It knows no rule.
#pragma once
#include <vector>

#include "coded.cuh"
#include "scalars.cuh"
#include "walk.cuh"

namespace fusedopt::cuda {

template <class Rule, class T, int W>
FUSEDOPT_INLINE void step_pack(const Row& row, const Scalars<Rule, T>& k, int64_t element) {
  constexpr int streams = kFirstState + Rule::states;
  Raw raw[streams];
  T value[streams][W];
#pragma unroll
  for (int s = 0; s < streams; ++s)
    raw[s] = load<W>(row.stream[s], row.codec(s), element);  // all in flight before the first is used
#pragma unroll
  for (int s = 0; s < streams; ++s) decode(raw[s], row.codec(s), value[s]);
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
  for (int s = kParam; s < streams; ++s) store<W>(row.stream[s], row.codec(s), element, encode(value[s], row.codec(s)));
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
    const Row& row = span.read(work, chunk, threadIdx.x);
    if (threadIdx.x == 64) k.read(table, row.scalars);
    __syncthreads();
    step_span(span, k, threadIdx.x);
    __syncthreads();
  }
}

// For plain floats and for codecs. Instantiated by each rule's own translation unit; launch.cu only declares it.
template <class Rule>
std::vector<const void*> kernels_of(bool fp64) {
  if (fp64)
    return {reinterpret_cast<const void*>(&step_kernel<Rule, double>),
            reinterpret_cast<const void*>(&coded_kernel<Rule, double>)};
  return {reinterpret_cast<const void*>(&step_kernel<Rule, float>),
          reinterpret_cast<const void*>(&coded_kernel<Rule, float>)};
}
#endif

}  // namespace fusedopt::cuda
