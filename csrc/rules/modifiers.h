// Written by `make rules` from fusedopt/modifiers.py; a test fails when the two differ.
#pragma once
#include "composites.h"

namespace fusedopt {

template <class F>
FUSEDOPT_INLINE F l2(F g, F p, F l2) {
  return g + l2 * p;
}

template <class F>
FUSEDOPT_INLINE F cautious(F u, F g) {
  return select(u * g <= F(0), F(0), u);
}

template <class F>
FUSEDOPT_INLINE F decoupled(F step, F p, F decay) {
  return step + decay * p;
}

}  // namespace fusedopt
