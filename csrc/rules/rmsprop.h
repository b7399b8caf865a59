// Written by `make rules` from fusedopt/rules/rmsprop.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct rmsprop {
  static constexpr const char* name = "rmsprop_60e428a8";
  static constexpr int states = 1, scalars = 3;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F v = s[0];
    const F alpha = k[0];
    const F rate = k[1];
    const F eps = k[2];
    const F new_v = alpha * v + rate * g * g;
    s[0] = new_v;
    return g / (sqrt(new_v) + eps);
  }
};

struct rmsprop_centered {
  static constexpr const char* name = "rmsprop_centered_e86e77af";
  static constexpr int states = 2, scalars = 3;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F v = s[0];
    const F a = s[1];
    const F alpha = k[0];
    const F rate = k[1];
    const F eps = k[2];
    const F new_v = alpha * v + rate * g * g;
    const F new_a = alpha * a + rate * g;
    const F x3 = sqrt(new_v);
    s[0] = new_v;
    s[1] = new_a;
    return g / (sqrt(maximum((x3 - new_a) * (x3 + new_a), F(0))) + eps);
  }
};

struct rmsprop_centered_momentum {
  static constexpr const char* name = "rmsprop_centered_momentum_490c7a1a";
  static constexpr int states = 3, scalars = 4;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F v = s[0];
    const F b = s[1];
    const F a = s[2];
    const F alpha = k[0];
    const F rate = k[1];
    const F eps = k[2];
    const F momentum = k[3];
    const F new_v = alpha * v + rate * g * g;
    const F new_a = alpha * a + rate * g;
    const F x3 = sqrt(new_v);
    const F u = momentum * b + g / (sqrt(maximum((x3 - new_a) * (x3 + new_a), F(0))) + eps);
    s[0] = new_v;
    s[1] = u;
    s[2] = new_a;
    return u;
  }
};

struct rmsprop_momentum {
  static constexpr const char* name = "rmsprop_momentum_df8ae0e3";
  static constexpr int states = 2, scalars = 4;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F v = s[0];
    const F b = s[1];
    const F alpha = k[0];
    const F rate = k[1];
    const F eps = k[2];
    const F momentum = k[3];
    const F new_v = alpha * v + rate * g * g;
    const F u = momentum * b + g / (sqrt(new_v) + eps);
    s[0] = new_v;
    s[1] = u;
    return u;
  }
};

}  // namespace fusedopt
