// Written by `make rules` from fusedopt/rules/sgd.py; a test fails when the two differ.
#pragma once
#include "composites.h"

namespace fusedopt {

struct sgd {
  static constexpr const char* name = "sgd";
  static constexpr int states = 0, scalars = 0;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F*, const F*) {
    return g;
  }
};

struct sgd_momentum {
  static constexpr const char* name = "sgd_momentum";
  static constexpr int states = 1, scalars = 2;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    F b = s[0];
    const F momentum = k[0];
    const F rate = k[1];
    b = momentum * b + rate * g;
    s[0] = b;
    return b;
  }
};

struct sgd_nesterov {
  static constexpr const char* name = "sgd_nesterov";
  static constexpr int states = 1, scalars = 2;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    F b = s[0];
    const F momentum = k[0];
    const F rate = k[1];
    b = momentum * b + rate * g;
    s[0] = b;
    return g + momentum * b;
  }
};

}  // namespace fusedopt
