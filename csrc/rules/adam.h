// Written by `make rules` from fusedopt/rules/adam.py; a test fails when the two differ.
#pragma once
#include "composites.h"

namespace fusedopt {

struct adam {
  static constexpr const char* name = "adam";
  static constexpr int states = 2, scalars = 7;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    F m = s[0];
    F v = s[1];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F debias1 = k[4];
    const F root_debias2 = k[5];
    const F eps = k[6];
    m = beta1 * m + rate1 * g;
    v = beta2 * v + rate2 * g * g;
    s[0] = m;
    s[1] = v;
    return debias1 * m / (root_debias2 * sqrt(v) + eps);
  }
};

struct amsgrad {
  static constexpr const char* name = "amsgrad";
  static constexpr int states = 3, scalars = 7;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    F m = s[0];
    F v = s[1];
    F v_max = s[2];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F debias1 = k[4];
    const F root_debias2 = k[5];
    const F eps = k[6];
    m = beta1 * m + rate1 * g;
    v = beta2 * v + rate2 * g * g;
    v_max = maximum(v_max, v);
    s[0] = m;
    s[1] = v;
    s[2] = v_max;
    return debias1 * m / (root_debias2 * sqrt(v_max) + eps);
  }
};

}  // namespace fusedopt
