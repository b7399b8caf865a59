// What the threads of a block do together; every thread of the block comes to each of these calls. A host that plays a
// block in turns brings its own.
#pragma once
#include <cstdint>

#include "launch.h"

#if defined(__CUDACC__)
#define FUSEDOPT_DEVICE __device__ __forceinline__
#else
#define FUSEDOPT_DEVICE inline
#endif

namespace fusedopt::cuda {

#if defined(__CUDACC__)
FUSEDOPT_DEVICE void barrier() { __syncthreads(); }

// Of a warp.
FUSEDOPT_DEVICE void warp_barrier() { __syncwarp(); }

// The value of the thread whose number in the warp differs in the bits of `mask`.
template <class T>
FUSEDOPT_DEVICE T exchange(T value, int mask) {
  return __shfl_xor_sync(~0u, value, mask);
}
#else
void barrier();
void warp_barrier();

template <class T>
T exchange(T value, int mask);
#endif

// The largest of a warp's values.
FUSEDOPT_DEVICE uint32_t largest(uint32_t value) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(~0u, value);
#else
  for (int mask = 1; mask < 32; mask *= 2) {
    const uint32_t other = exchange(value, mask);
    value = other > value ? other : value;
  }
  return value;
#endif
}

// One word a thread.
template <class What>
FUSEDOPT_DEVICE void copy_words(What* to, const void* from, int thread) {
  static_assert(sizeof(What) <= kThreads * sizeof(int64_t));
  if (thread < static_cast<int>(sizeof(What) / sizeof(int64_t)))
    reinterpret_cast<int64_t*>(to)[thread] = static_cast<const int64_t*>(from)[thread];
}

}  // namespace fusedopt::cuda
