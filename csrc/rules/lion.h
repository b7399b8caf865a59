// Written by `make rules` from fusedopt/rules/lion.py; a test fails when the two differ.
#pragma once
#include "composites.h"

namespace fusedopt {

struct lion {
  static constexpr const char* name = "lion";
  static constexpr int states = 1, scalars = 4;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    F m = s[0];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    F u = sign(beta1 * m + rate1 * g);
    s[0] = beta2 * m + rate2 * g;
    return u;
  }
};

}  // namespace fusedopt
