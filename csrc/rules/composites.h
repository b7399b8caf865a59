// Written by `make rules` from fusedopt/math.py; a test fails when the two differ.
#pragma once
#include "../math.h"

namespace fusedopt {

template <class F>
FUSEDOPT_INLINE F rsqrt(F x) {
  return F(1) / sqrt(x);
}

template <class F>
FUSEDOPT_INLINE F maximum(F a, F b) {
  return select(a > b, a, select(b >= a, b, a + b));
}

template <class F>
FUSEDOPT_INLINE F minimum(F a, F b) {
  return select(a < b, a, select(b <= a, b, a + b));
}

template <class F>
FUSEDOPT_INLINE F sign(F x) {
  return select(x > F(0), F(1), select(x < F(0), F(-1), x));
}

}  // namespace fusedopt
