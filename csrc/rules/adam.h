// Written by `make rules` from fusedopt/rules/adam.py; a test fails when the two differ.
#pragma once
#include "composites.h"

namespace fusedopt {

struct adam {
  static constexpr const char* name = "adam";
  static constexpr int states = 2, scalars = 5;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, [[maybe_unused]] F p, F* s, const F* k) {
    F m = s[0];
    F v = s[1];
    const F rate1 = k[0];
    const F rate2 = k[1];
    const F debias1 = k[2];
    const F root_debias2 = k[3];
    const F eps = k[4];
    m = lerp(m, g, rate1);
    v = lerp(v, g * g, rate2);
    s[0] = m;
    s[1] = v;
    return debias1 * m / (root_debias2 * sqrt(v) + eps);
  }
};

struct amsgrad {
  static constexpr const char* name = "amsgrad";
  static constexpr int states = 3, scalars = 5;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, [[maybe_unused]] F p, F* s, const F* k) {
    F m = s[0];
    F v = s[1];
    F v_max = s[2];
    const F rate1 = k[0];
    const F rate2 = k[1];
    const F debias1 = k[2];
    const F root_debias2 = k[3];
    const F eps = k[4];
    m = lerp(m, g, rate1);
    v = lerp(v, g * g, rate2);
    v_max = maximum(v_max, v);
    s[0] = m;
    s[1] = v;
    s[2] = v_max;
    return debias1 * m / (root_debias2 * sqrt(v_max) + eps);
  }
};

}  // namespace fusedopt
