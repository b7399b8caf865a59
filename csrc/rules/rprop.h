// Written by `make rules` from fusedopt/rules/rprop.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct rprop {
  static constexpr const char* name = "rprop_7199f31c";
  static constexpr int states = 2, scalars = 4;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F prev = s[0];
    const F size = s[1];
    const F shrink = k[0];
    const F grow = k[1];
    const F smallest = k[2];
    const F largest = k[3];
    const F x1 = g * prev;
    const F new_size = minimum(maximum(size * select(x1 > F(0), grow, select(x1 < F(0), shrink, F(1))), smallest), largest);
    const F new_prev = select(x1 < F(0), F(0), g);
    s[0] = new_prev;
    s[1] = new_size;
    return select(new_prev > F(0), new_size, select(new_prev < F(0), -new_size, F(0)));
  }
};

}  // namespace fusedopt
