// Written by `make rules` from fusedopt/rules/adamax.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adamax {
  static constexpr const char* name = "adamax_279b89f4";
  static constexpr int states = 2, scalars = 5;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F debias1 = k[3];
    const F eps = k[4];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = maximum(beta2 * v, abs(g) + eps);
    s[0] = new_m;
    s[1] = new_v;
    return debias1 * new_m / new_v;
  }
};

}  // namespace fusedopt
