// What surrounds a rule, on every engine: the gradient's stages before it, those of the direction after it.
#pragma once
#include "../rules/layout.h"
#include "../rules/modifiers.h"
#include "launch.h"

namespace fusedopt::cuda {

// The scalars that every rule has, in the arithmetic type.
template <class T>
struct Header {
  T lr, decay, l2, gradient, cautious;

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

// All scalars of one row.
template <class Rule, class T>
struct Scalars : Header<T> {
  T rule[Rule::scalars + 1];

  FUSEDOPT_INLINE void read(const ScalarTable& table, int row) {
    const double* from = table.values + static_cast<int64_t>(row) * table.columns;
    this->lr = static_cast<T>(from[column::lr]);
    this->decay = static_cast<T>(from[column::decay]);
    this->l2 = static_cast<T>(from[column::l2]);
    this->gradient = static_cast<T>(from[column::gradient_sign]);
    if (table.coefficient) this->gradient = this->gradient * static_cast<T>(*table.coefficient);
    this->cautious = static_cast<T>(from[column::cautious]);
    for (int i = 0; i < Rule::scalars; ++i) rule[i] = static_cast<T>(from[column::count + i]);
  }
};

// The step of one element.
template <class Rule, class T>
FUSEDOPT_INLINE void update(const Scalars<Rule, T>& k, T g, T& p, T* s) {
  g = k.gradient_of(g, p);
  p = k.stepped(Rule::template update<T>(g, p, s, k.rule), g, p);
}

}  // namespace fusedopt::cuda
