// Written by `make rules` from fusedopt/rules/lion.py; a test fails when the two differ.
#pragma once
#include "composites.h"

namespace fusedopt {

struct lion {
  static constexpr const char* name = "lion";
  static constexpr int states = 1, scalars = 2;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    F m = s[0];
    const F rate1 = k[0];
    const F rate2 = k[1];
    F u = sign(lerp(m, g, rate1));
    s[0] = lerp(m, g, rate2);
    return u;
  }
};

}  // namespace fusedopt
