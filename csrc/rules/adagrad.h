// Written by `make rules` from fusedopt/rules/adagrad.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adagrad {
  static constexpr const char* name = "adagrad_29682c9c";
  static constexpr int states = 1, scalars = 1;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F total = s[0];
    const F eps = k[0];
    const F new_total = total + g * g;
    s[0] = new_total;
    return g / (sqrt(new_total) + eps);
  }
};

}  // namespace fusedopt
