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
FUSEDOPT_INLINE float abs(float x) { return ::fabsf(x); }
FUSEDOPT_INLINE double abs(double x) { return ::fabs(x); }
FUSEDOPT_INLINE float select(bool condition, float a, float b) { return condition ? a : b; }
FUSEDOPT_INLINE double select(bool condition, double a, double b) { return condition ? a : b; }
FUSEDOPT_INLINE float by_precision(float single, float) { return single; }
FUSEDOPT_INLINE double by_precision(double, double twice) { return twice; }

}  // namespace fusedopt
