// How tensors that are seen as matrices are cut into tiles, and where their values and partial sums lie. Worked out
// once on the host, from the shapes alone; read by every launch.
#pragma once
#include <cstdint>
#include <utility>

#include "../math.h"
#include "../row.h"
#include "../stages.h"
#include "launch.h"

namespace fusedopt::cuda {

constexpr int kDeep = 16;  // rows of a tile that one thread walks down

// Columns of a pack, 16 bytes in the arithmetic type, and packs of a thread side by side: fewer sums along rows.
template <class T>
constexpr int kPack = 16 / sizeof(T);
constexpr int kPacks = 2;

FUSEDOPT_INLINE int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The smallest power of two from `least` to `most` that is enough.
FUSEDOPT_INLINE int power_of_two(int64_t enough, int least, int most) {
  while (least < most && least < enough) least *= 2;
  return least;
}

// A tile is the work of one block. A team of threads spans its columns, packs beside each other; the teams on a matrix
// take its rows in turns. Small matrices have few threads each and share tiles.
struct Tiling {
  int64_t numel, batch, rows, cols;
  int32_t lanes, teams;   // threads in a team, teams on a matrix
  int32_t bands, panels;  // tiles of a matrix, down and across

  FUSEDOPT_INLINE int matrices() const { return kThreads / lanes / teams; }  // in a tile
  FUSEDOPT_INLINE int64_t tiles() const { return pieces(batch, matrices()) * bands * panels; }
  FUSEDOPT_INLINE int64_t values(Shape shape) const {
    if (shape == Shape::element) return numel;
    if (shape == Shape::tensor) return 1;
    return batch * (shape == Shape::row ? rows : shape == Shape::col ? cols : 1);
  }
};

// What a kernel over `domain` leaves of one sum: partial sums of tiles, or one term per value. They lie in memory as
// [outer][count][inner], the results as [outer][inner].
struct Terms {
  int64_t outer, count, inner;
  int64_t from, to;    // in scratch memory
  int64_t divisor;     // of a mean
  int32_t row, state;  // the tensor, and the state whose new value the results are, or -1
  Op op;
  int32_t lanes;  // threads on one result

  FUSEDOPT_INLINE int64_t results() const { return outer * inner; }
  FUSEDOPT_INLINE int64_t blocks() const { return pieces(results(), kThreads / lanes); }
};

inline Terms terms_of(const Tiling& t, Shape domain, Shape shape) {
  Terms terms = {};
  const int64_t results = t.values(shape);
  terms.divisor = t.values(domain) / results;
  if (domain != Shape::element)
    terms.outer = results, terms.count = terms.divisor, terms.inner = 1;
  else if (shape == Shape::col)
    terms.outer = t.batch, terms.count = t.bands, terms.inner = t.cols;
  else
    terms.outer = 1, terms.count = shape == Shape::row ? t.panels : t.tiles(), terms.inner = results;
  // Some eight terms each, but neighbours stay on neighbouring results where these are many.
  terms.lanes = power_of_two(pieces(terms.count, 8), 1, terms.inner > 1 ? 32 : kThreads);
  return terms;
}

template <int i>
struct At {
  FUSEDOPT_INLINE constexpr operator int() const { return i; }
};

template <int... i, class Visit>
FUSEDOPT_INLINE void each(std::integer_sequence<int, i...>, const Visit& visit) {
  (visit(At<i>{}), ...);
}

// Calls visit with 0, 1, .. as types: device code cannot index a constexpr array at run time.
template <int count, class Visit>
FUSEDOPT_INLINE void each(const Visit& visit) {
  each(std::make_integer_sequence<int, count>{}, visit);
}

// A type as a value.
template <class Type>
struct Named {
  using type = Type;
};

template <class List>
FUSEDOPT_INLINE constexpr bool holds(int id) {
  for (int i = 0; i < List::count; ++i)
    if (List::at[i] == id) return true;
  return false;
}

// The state whose new value this slot is, or -1.
template <class Rule>
FUSEDOPT_INLINE constexpr int state_of(int id) {
  for (int state = 0; state < Rule::states; ++state)
    if (Rule::saved[state] == id) return state;
  return -1;
}

// Whether new states may be written over the old ones at once, as no later kernel reads those.
template <class Rule, class... Kernel>
constexpr bool is_saved_in_place(Kernels<Kernel...>) {
  for (int state = 0; state < Rule::states; ++state) {
    const int id = Rule::saved[state];
    bool made = false, spoilt = id >= 0 && (id < Rule::states || state_of<Rule>(id) != state);
    ((spoilt |= made && (holds<typename Kernel::streams>(state) || holds<typename Kernel::uniforms>(state)),
      made |= holds<typename Kernel::outputs>(id) || holds<typename Kernel::sums>(id)),
     ...);
    if (spoilt) return false;
  }
  return true;
}

// Whether the text tells no rows and columns apart, so that the tensor may be cut anyhow.
template <class Rule>
FUSEDOPT_INLINE constexpr bool is_flat() {
  for (int id = 0; id < Rule::slot_count; ++id)
    if (Rule::slots[id].shape != Shape::element && Rule::slots[id].shape != Shape::tensor) return false;
  return true;
}

// One tensor's tiling and, in numbers of the arithmetic type, where its slots and the terms of its sums lie in scratch.
template <class Rule>
struct Plan {
  static_assert(is_saved_in_place<Rule>(typename Rule::List()), "a kernel reads a state after its new value was made");
  Tiling tiling;
  int64_t value[Rule::slot_count], terms[Rule::slot_count];
};

}  // namespace fusedopt::cuda
