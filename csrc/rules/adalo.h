// Written by `make rules` from fusedopt/rules/adalo.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adalo {
  static constexpr const char* name = "adalo_2f979974";
  static constexpr int states = 1, scalars = 2;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F u = beta1 * m + rate1 * g;
    s[0] = u;
    return u;
  }
};

}  // namespace fusedopt
