// What the threads of a block do together; every thread of the block comes to each of these calls. A host that plays a
// block in turns brings its own.
#pragma once

#if defined(__CUDACC__)
#define FUSEDOPT_DEVICE __device__ __forceinline__
#else
#define FUSEDOPT_DEVICE inline
#endif

namespace fusedopt::cuda {

#if defined(__CUDACC__)
FUSEDOPT_DEVICE void barrier() { __syncthreads(); }

// The value of the thread whose number in the warp differs in the bits of `mask`.
template <class T>
FUSEDOPT_DEVICE T exchange(T value, int mask) {
  return __shfl_xor_sync(~0u, value, mask);
}
#else
void barrier();

template <class T>
T exchange(T value, int mask);
#endif

}  // namespace fusedopt::cuda
