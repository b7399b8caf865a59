// What a rule with reductions is made of: kernels that run one after another, and the values that they hand on.
#pragma once

namespace fusedopt {

// How many numbers a value has: one for every tensor, matrix, row, column or element.
enum class Shape { tensor, matrix, row, col, element };

// How a kernel's terms become a value: `mean` and `max` over all that share it; `none` for what is no reduction.
enum class Op { none, mean, max };

// A state, or a temporary in scratch memory. Ids count states, then temporaries, then the rule's scalars.
struct Slot {
  Shape shape;
  Op op;
};

template <int... id>
struct Ids {
  static constexpr int count = sizeof...(id);
  static constexpr int at[count + 1] = {id..., -1};
};

// A kernel runs over its `domain`; the one that `commits` writes. It has ids of the values it reads lane by lane
// (`streams`, of which it stores the first `written` again), of those that are the same along a row or for all
// (`uniforms`), of the `outputs` and of the `sums` it makes; and whether it reads gradient and parameter.
template <class...>
struct Kernels {};

}  // namespace fusedopt
