// The primitives of fusedopt/math.py for one float or double, on the host and on the GPU.
#pragma once
#include <cmath>

#if defined(__CUDACC__)
#define FUSEDOPT_INLINE __host__ __device__ __forceinline__
#else
#define FUSEDOPT_INLINE inline __attribute__((always_inline))
#endif

namespace fusedopt {

FUSEDOPT_INLINE float sqrt(float x) { return ::sqrtf(x); }
FUSEDOPT_INLINE double sqrt(double x) { return ::sqrt(x); }
// Within two units in the last place, wherever it is computed.
#ifdef __CUDA_ARCH__
FUSEDOPT_INLINE float rsqrt(float x) { return ::rsqrtf(x); }
#else
FUSEDOPT_INLINE float rsqrt(float x) { return 1 / ::sqrtf(x); }
#endif
FUSEDOPT_INLINE double rsqrt(double x) { return 1 / ::sqrt(x); }
FUSEDOPT_INLINE float abs(float x) { return ::fabsf(x); }
FUSEDOPT_INLINE double abs(double x) { return ::fabs(x); }
FUSEDOPT_INLINE float select(bool condition, float a, float b) { return condition ? a : b; }
FUSEDOPT_INLINE double select(bool condition, double a, double b) { return condition ? a : b; }

}  // namespace fusedopt
