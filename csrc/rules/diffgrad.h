// Written by `make rules` from fusedopt/rules/diffgrad.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct diffgrad {
  static constexpr const char* name = "diffgrad_dd475a27";
  static constexpr int states = 3, scalars = 6;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F previous = s[2];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F debias = k[4];
    const F eps = k[5];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * g * g;
    s[0] = new_m;
    s[1] = new_v;
    s[2] = g;
    return sigmoid(abs(previous - g)) * (debias * new_m / (sqrt(new_v) + eps));
  }
};

}  // namespace fusedopt
