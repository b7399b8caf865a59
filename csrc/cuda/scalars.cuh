// What surrounds a rule, on every engine: the gradient's stages before it, those of the direction after it.
#pragma once
#include "../rules/layout.h"
#include "../rules/modifiers.h"
#include "launch.h"

namespace fusedopt::cuda {

// The scalars of one row in the arithmetic type.
template <class Rule, class T>
struct Scalars {
  T lr, decay, l2, gradient, cautious, rule[Rule::scalars + 1];

  FUSEDOPT_INLINE void read(const ScalarTable& table, int row) {
    const double* from = table.values + static_cast<int64_t>(row) * table.columns;
    lr = static_cast<T>(from[column::lr]);
    decay = static_cast<T>(from[column::decay]);
    l2 = static_cast<T>(from[column::l2]);
    gradient = static_cast<T>(from[column::gradient_sign]);
    if (table.coefficient) gradient = gradient * static_cast<T>(*table.coefficient);
    cautious = static_cast<T>(from[column::cautious]);
    for (int i = 0; i < Rule::scalars; ++i) rule[i] = static_cast<T>(from[column::count + i]);
  }

  // The stages before and after a rule.
  FUSEDOPT_INLINE T gradient_of(T g, T p) const {
    g = gradient * g;
    return l2 != 0 ? fusedopt::l2(g, p, l2) : g;
  }
  FUSEDOPT_INLINE T stepped(T u, T g, T p) const {
    if (cautious != 0) u = fusedopt::cautious(u, g);
    T step = lr * u;
    if (decay != 0) step = decoupled(step, p, decay);
    return p - step;
  }
};

}  // namespace fusedopt::cuda
