// Written by `make rules` from fusedopt/rules/adamomentum.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adamomentum {
  static constexpr const char* name = "adamomentum_6c6aa4ba";
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
    const F root_debias2 = k[5];
    const F eps = k[6];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * new_m * new_m + eps;
    s[0] = new_m;
    s[1] = new_v;
    return debias1 * new_m / (root_debias2 * sqrt(new_v));
  }
};

}  // namespace fusedopt
