// Written by `make rules` from fusedopt/rules/radam.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct radam {
  static constexpr const char* name = "radam_d4ab1d08";
  static constexpr int states = 2, scalars = 7;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F debias1 = k[4];
    const F rectified = k[5];
    const F eps = k[6];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * g * g;
    s[0] = new_m;
    s[1] = new_v;
    return debias1 * select(rectified > F(0), rectified * new_m / (sqrt(new_v) + eps), new_m);
  }
};

}  // namespace fusedopt
