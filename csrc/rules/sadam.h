// Written by `make rules` from fusedopt/rules/sadam.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct sadam {
  static constexpr const char* name = "sadam_60e65d90";
  static constexpr int states = 2, scalars = 6;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F scale = k[4];
    const F smooth = k[5];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * g * g;
    s[0] = new_m;
    s[1] = new_v;
    return scale * new_m / softplus(smooth * sqrt(new_v));
  }
};

struct samsgrad {
  static constexpr const char* name = "samsgrad_69b46862";
  static constexpr int states = 3, scalars = 6;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F v_max = s[2];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F scale = k[4];
    const F smooth = k[5];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * g * g;
    const F new_v_max = maximum(v_max, new_v);
    s[0] = new_m;
    s[1] = new_v;
    s[2] = new_v_max;
    return scale * new_m / softplus(smooth * sqrt(new_v_max));
  }
};

}  // namespace fusedopt
