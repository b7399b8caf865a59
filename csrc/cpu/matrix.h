// The matrix engine: a rule's kernels (csrc/stages.h) as phases over bands, columns and rows. It knows no rule.
//
// Sums follow the shape alone, never the threads or the vector width: kLanes running sums along a row, the rows of a
// band in order, then the bands in order; in double from the row on.
#pragma once
#include <tuple>
#include <type_traits>

#include "axes.h"

namespace fusedopt::FUSEDOPT_ISA {

// Whether a row needs no other to go on after this kernel.
template <class Rule, class Kernel>
constexpr bool stays_in_row() {
  const int sums = Kernel::sums::count;
  return Kernel::domain == Shape::row
             ? sums == 0
             : Kernel::domain == Shape::element && count_sums<Rule, Kernel>(Shape::row) == sums;
}

// Sweeps bands of rows. Kernels that stay in their rows run one after another on a few rows, which are in cache then.
template <class Rule, class T, class... Kernel>
struct SweepPhase {
  // Elements: with less, reading starts anew too often; with more, the second-level cache does not hold them.
  static constexpr int64_t kTogether = 32768;

  static Pieces split(const Bands& bands) {
    return {bands.all(), std::min(bands.height, bands.rows) * bands.cols, 1 << 16};
  }
  static int64_t pieces(const Row& row) { return split(Bands(row)).count(); }
  static void run(const MatrixWork& work, int64_t piece) {
    const Values<Rule, T> values(work);
    const Pieces pieces = split(values.bands);
    const int64_t first = pieces.first(piece), last = pieces.last(piece);
    (Swept<Rule, Kernel, T>::clear(values, first, last), ...);
    const int64_t begin = values.bands.row(first), end = values.bands.row(last);
    const Seen seen = values.bands.cols < kNarrow ? run_rows<NarrowRows>({work, values}, begin, end)
                                                  : run_rows<WideRows>({work, values}, begin, end);
    if ((Kernel::commits || ...) && work.seen) work.seen[piece] = seen;
  }

 private:
  template <template <class, class, class> class Elements, class K>
  using Part = std::conditional_t<K::domain == Shape::row, RowValues<Rule, K, T>, Elements<Rule, K, T>>;

  template <template <class, class, class> class Elements>
  static Seen run_rows(const Tensor<Rule, T>& tensor, int64_t begin, int64_t end) {
    std::tuple<Part<Elements, Kernel>...> parts(of<Kernel>(tensor)...);
    const int64_t cols = tensor.values.bands.cols;
    const int64_t most = sizeof...(Kernel) == 1 ? end - begin : std::max<int64_t>(1, kTogether / cols);
    Seen seen;
    std::apply(
        [&](auto&... part) {
          for (int64_t row = begin; row < end; row += most) (part.run(row, std::min(row + most, end)), ...);
          (seen.add(part.seen()), ...);
        },
        parts);
    return seen;
  }
  template <class>
  static const Tensor<Rule, T>& of(const Tensor<Rule, T>& tensor) {
    return tensor;
  }
};

// Copies the new states over the old ones, which every kernel has read by now.
template <class Rule, class T>
struct SavePhase {
  static int64_t pieces(const Row&) { return 1; }
  static void run(const MatrixWork& work, int64_t) {
    const Values<Rule, T> values(work);
    for (int state = 0; state < Rule::states; ++state)
      if (Rule::saved[state] >= 0)
        std::copy_n(values.at[Rule::saved[state]], values.bands.values(Rule::slots[state].shape), values.at[state]);
  }
};

template <class Rule, class T>
class Phases {
 public:
  constexpr Phases() { list(typename Rule::List()); }
  int count = 0;
  static constexpr int most = 32;
  Phase phase[most] = {};

 private:
  bool backward_ = false;

  template <class P>
  constexpr void add() {
    phase[count++] = {P::pieces, P::run, backward_};
  }
  template <class... Kernel>
  constexpr void list(Kernels<Kernel...> kernels) {
    static_assert(2 * sizeof...(Kernel) < most);
    add_all(kernels);
    add<SavePhase<Rule, T>>();
  }
  constexpr void add_all(Kernels<>) {}
  template <class First, class... Rest>
  constexpr void add_all(Kernels<First, Rest...>) {
    if constexpr (First::domain == Shape::element) {
      add_sweep<First>(Kernels<First>(), Kernels<Rest...>());
    } else {
      add<AxisPhase<Rule, First, T>>();
      add_all(Kernels<Rest...>());
    }
  }
  // A sweep of the kernels that are taken, of which `Last` is the last, and of those that follow it in its rows.
  template <class Last, class... Taken>
  constexpr void add_sweep(Kernels<Taken...>, Kernels<>) {
    add_taken<Last, Taken...>();
  }
  template <class Last, class... Taken, class Next, class... Rest>
  constexpr void add_sweep(Kernels<Taken...>, Kernels<Next, Rest...> rest) {
    if constexpr (stays_in_row<Rule, Last>() && (Next::domain == Shape::element || stays_in_row<Rule, Next>())) {
      add_sweep<Next>(Kernels<Taken..., Next>(), Kernels<Rest...>());
    } else {
      add_taken<Last, Taken...>();
      add_all(rest);
    }
  }
  template <class Last, class... Taken>
  constexpr void add_taken() {
    add<SweepPhase<Rule, T, Taken...>>();
    backward_ = !backward_;
    if constexpr (Last::domain == Shape::element)
      if constexpr (FinishPhase<Rule, Last, T>::needed) add<FinishPhase<Rule, Last, T>>();
  }
};

}  // namespace fusedopt::FUSEDOPT_ISA
