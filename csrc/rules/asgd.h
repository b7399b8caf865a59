// Written by `make rules` from fusedopt/rules/asgd.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct asgd {
  static constexpr const char* name = "asgd_31acdc81";
  static constexpr int states = 1, scalars = 4;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k) {
    const F ax = s[0];
    const F eta = k[0];
    const F lambd = k[1];
    const F mu = k[2];
    const F keep = k[3];
    const F u = eta * (g + lambd * p);
    s[0] = keep * ax + mu * (p - u);
    return u;
  }
};

}  // namespace fusedopt
