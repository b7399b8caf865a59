// Written by `make rules` from fusedopt/rules/nadam.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct nadam {
  static constexpr const char* name = "nadam_58127179";
  static constexpr int states = 2, scalars = 8;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F share_g = k[4];
    const F share_m = k[5];
    const F root_debias2 = k[6];
    const F eps = k[7];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * g * g;
    s[0] = new_m;
    s[1] = new_v;
    return (share_g * g + share_m * new_m) / (root_debias2 * sqrt(new_v) + eps);
  }
};

}  // namespace fusedopt
