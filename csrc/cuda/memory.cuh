// One tensor as the launches of a rule that sees matrices find it: where its values are.
#pragma once
#include "access.cuh"
#include "scalars.cuh"
#include "threads.cuh"
#include "tiling.h"

namespace fusedopt::cuda {

// Stands in shared memory, read once for a block.
template <class Rule, class T>
struct Memory {
  Row row;
  Plan<Rule> plan;
  Scalars<Rule, T> scalars;
  T* scratch;

  FUSEDOPT_DEVICE void read(const MatrixWork& work, const ScalarTable& table, int tensor, int thread) {
    const Row* from = work.rows + tensor;
    copy_words(&row, from, thread);
    copy_words(&plan, reinterpret_cast<const Plan<Rule>*>(work.words) + tensor, thread);
    if (thread == 0) scratch = static_cast<T*>(work.scratch);
    if (thread == 64) scalars.read(table, from->scalars);
    barrier();
  }

  // The values of a slot. Those of states, and their new values, are where the tensors of the state dict are.
  template <int id>
  FUSEDOPT_DEVICE T* values() const {
    constexpr int state = id < Rule::states ? id : state_of<Rule>(id);
    if constexpr (state >= 0)
      return static_cast<T*>(row.stream[kFirstState + state]);
    else
      return scratch + plan.value[id];
  }
  template <int id>
  FUSEDOPT_DEVICE T* terms() const {
    return scratch + plan.terms[id];
  }

  // A value that is the same for all of a row; rows count through all matrices.
  template <int id>
  FUSEDOPT_DEVICE T uniform(int64_t matrix, int64_t row) const {
    if constexpr (id >= Rule::slot_count) {
      return scalars.rule[id - Rule::slot_count];
    } else {
      constexpr Shape shape = Rule::slots[id].shape;
      return cuda::read<T, Use::again>(values<id>() + (shape == Shape::row      ? row
                                                       : shape == Shape::matrix ? matrix
                                                                                : 0));
    }
  }
};

// Whether an id names a slot of this shape.
template <class Rule>
FUSEDOPT_INLINE constexpr bool is(int id, Shape shape) {
  return id < Rule::slot_count && Rule::slots[id].shape == shape;
}

// How many of the first `end` ids are of this shape.
template <class Rule, class List>
FUSEDOPT_INLINE constexpr int count_of(Shape shape, int end = List::count) {
  int found = 0;
  for (int i = 0; i < end; ++i) found += is<Rule>(List::at[i], shape);
  return found;
}

}  // namespace fusedopt::cuda
