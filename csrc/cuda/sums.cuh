// Reductions: what a sum starts from, and how two terms become one.
#pragma once
#include <cmath>

#include "../rules/composites.h"
#include "../stages.h"
#include "threads.cuh"

namespace fusedopt::cuda {

template <Op op, class F>
FUSEDOPT_INLINE F combined(F a, F b) {
  return op == Op::max ? maximum(a, b) : a + b;
}

template <Op op, class F>
FUSEDOPT_INLINE F start() {
  return op == Op::max ? -static_cast<F>(INFINITY) : F(0);
}

// Over the first `lanes` threads that stand together, a power of two; every one of them has the result.
template <Op op, class F>
FUSEDOPT_DEVICE F across(F mine, int lanes) {
#pragma unroll
  for (int mask = 1; mask < 32; mask *= 2) {
    const F other = exchange(mine, mask);
    if (mask < lanes) mine = combined<op>(mine, other);
  }
  return mine;
}

}  // namespace fusedopt::cuda
