// Sum of squared gradients without atomics: a partial sum for each chunk, then one block adds the partials. Every
// addition has its place, so the same tensors give the same bits on any GPU.
#pragma once
#include "walk.cuh"

namespace fusedopt::cuda {

constexpr int kTotalThreads = 1024;  // of the block that adds the partials

// One thread's share of a chunk. The square of a float is exact in double, so contraction changes nothing there.
template <class T>
FUSEDOPT_INLINE double squares(const Span& span, int thread) {
  double sum = 0;
  walk<T, 1>(span, thread, [&](auto width, int64_t element) {
    T g[decltype(width)::value];
    const Codec dtype = span.row.codec(kGrad);
    decode(load<decltype(width)::value>(span.row.stream[kGrad], dtype, element), dtype, g);
#pragma unroll
    for (const T x : g) sum = ::fma(static_cast<double>(x), static_cast<double>(x), sum);
  });
  return sum;
}

#ifdef __CUDACC__
// The sum over a block's threads, as a tree; valid in thread 0.
template <int Threads>
__device__ double block_sum(double mine) {
  __shared__ double sums[Threads];
  sums[threadIdx.x] = mine;
  for (int width = Threads / 2; width > 0; width /= 2) {
    __syncthreads();
    if (threadIdx.x < width) sums[threadIdx.x] += sums[threadIdx.x + width];
  }
  return sums[0];
}

template <class T>
__global__ void __launch_bounds__(kThreads) squares_kernel(const Work work, double* partials) {
  __shared__ Span span;
  for (int chunk = blockIdx.x; chunk < work.count; chunk += gridDim.x) {
    span.read(work, chunk, threadIdx.x);
    __syncthreads();
    const double sum = block_sum<kThreads>(squares<T>(span, threadIdx.x));
    if (threadIdx.x == 0) partials[chunk] = sum;
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kTotalThreads) total_kernel(const double* partials, int count, double* total) {
  double sum = 0;
#pragma unroll 8
  for (int i = threadIdx.x; i < count; i += kTotalThreads) sum += partials[i];
  sum = block_sum<kTotalThreads>(sum);
  if (threadIdx.x == 0) *total = sum;
}
#endif

}  // namespace fusedopt::cuda
