// Written by `make rules` from fusedopt/rules/adadelta.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adadelta {
  static constexpr const char* name = "adadelta_53c92026";
  static constexpr int states = 2, scalars = 3;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F v = s[0];
    const F d = s[1];
    const F rho = k[0];
    const F rate = k[1];
    const F eps = k[2];
    const F new_v = rho * v + rate * g * g;
    const F u = sqrt(d + eps) / sqrt(new_v + eps) * g;
    s[0] = new_v;
    s[1] = rho * d + rate * u * u;
    return u;
  }
};

}  // namespace fusedopt
