// The matrix engine: a rule's kernels (csrc/stages.h) as phases over bands, columns and rows. It knows no rule.
//
// Sums follow the shape alone, never the threads or the vector width: kLanes running sums along a row, the rows of a
// band in order, then the bands in order; in double from the row on.
#pragma once
#include "narrow.h"

namespace fusedopt::FUSEDOPT_ISA {

constexpr int64_t kColumns = 1024;  // finished together

// Units of work taken together, so that a piece is long enough to hide its scheduling.
struct Pieces {
  int64_t units, grain;

  Pieces(int64_t units, int64_t elements_of_unit, int64_t elements)
      : units(units), grain(std::max<int64_t>(1, elements / std::max<int64_t>(1, elements_of_unit))) {}
  int64_t count() const { return (units + grain - 1) / grain; }
  int64_t first(int64_t piece) const { return piece * grain; }
  int64_t last(int64_t piece) const { return std::min(units, (piece + 1) * grain); }
};

// Sweeps bands of rows.
template <class Rule, class Kernel, class T>
struct SweepPhase {
  using Total = Sums<Rule, Kernel, T>;
  static constexpr int column_sums = count_sums<Rule, Kernel>(Shape::col);
  static constexpr int tensor_sums = count_sums<Rule, Kernel>(Shape::tensor);

  static Pieces split(const Bands& bands) {
    return {bands.all(), std::min(bands.height, bands.rows) * bands.cols, 1 << 16};
  }
  static int64_t pieces(const Row& row) { return split(Bands(row)).count(); }
  static void run(const MatrixWork& work, int64_t piece) {
    const Values<Rule, T> values(work);
    const Pieces pieces = split(values.bands);
    const int64_t first = pieces.first(piece), last = pieces.last(piece);
    std::fill(cols_of(values, first), cols_of(values, last), T(0));
    std::fill(values.band_sums + first * tensor_sums, values.band_sums + last * tensor_sums, 0.0);
    const bool narrow = values.bands.cols < kNarrow;
    const Seen seen = (narrow ? run_narrow : run_wide)(work, values, values.bands.row(first), values.bands.row(last));
    if (Kernel::commits && work.seen) work.seen[piece] = seen;
  }

 private:
  static T* cols_of(const Values<Rule, T>& values, int64_t band) {
    return values.band_cols + band * column_sums * values.bands.cols;
  }
  static Seen run_wide(const MatrixWork& work, const Values<Rule, T>& values, int64_t begin, int64_t end) {
    Sweep<Rule, Kernel, T> sweep(work, values);
    for (int64_t row = begin; row < end; ++row) {
      const Total total = sweep.run(row / values.bands.rows, row, cols_of(values, values.bands.band(row)));
      for (int sum = 0; sum < Total::count; ++sum)
        if (Total::along(sum)) store(values, row, values.bands.band(row), sum, total.total(sum));
    }
    return sweep.seen();
  }
  static Seen run_narrow(const MatrixWork& work, const Values<Rule, T>& values, int64_t begin, int64_t end) {
    NarrowSweep<Rule, Kernel, T> sweep(work, values);
    sweep.run(begin, end, [&](int64_t row, int64_t band, int sum, const T* terms) {
      const int64_t width = values.bands.cols;
      if (!Total::along(sum))
        return add_to(cols_of(values, band) + Total::nth(sum) * width, terms, width, Total::op(sum));
      T total = 0;
      for (int64_t i = 0; i < width; ++i) total = combined(Total::op(sum), total, terms[i]);
      store(values, row, band, sum, total);
    });
    return sweep.seen();
  }
  // A row's total is its value, or a part of its band's.
  static void store(const Values<Rule, T>& values, int64_t row, int64_t band, int sum, double total) {
    if (Total::shape(sum) == Shape::row) {
      values.at[Total::id(sum)][row] = static_cast<T>(finished(Total::op(sum), total, values.bands.cols));
    } else {
      double& of_band = values.band_sums[band * tensor_sums + Total::nth(sum)];
      of_band = combined(Total::op(sum), of_band, total);
    }
  }
};

// Adds up what the bands of a sweep left: by columns, and over the tensor.
template <class Rule, class Kernel, class T>
struct FinishPhase {
  using Total = Sums<Rule, Kernel, T>;
  using Swept = SweepPhase<Rule, Kernel, T>;
  static constexpr bool needed = Swept::column_sums + Swept::tensor_sums > 0;

  static int64_t blocks(const Bands& bands) { return (bands.cols + kColumns - 1) / kColumns; }
  static Pieces split(const Bands& bands) {
    const int64_t units = Swept::column_sums ? bands.batch * blocks(bands) : 0;
    return {units, std::min(bands.cols, kColumns), 4 * kColumns};
  }
  static int64_t pieces(const Row& row) { return std::max<int64_t>(1, split(Bands(row)).count()); }
  static void run(const MatrixWork& work, int64_t piece) {
    const Values<Rule, T> values(work);
    const Pieces pieces = split(values.bands);
    for (int64_t unit = pieces.first(piece); unit < pieces.last(piece); ++unit)
      for (int sum = 0; sum < Total::count; ++sum)
        if (!Total::along(sum)) columns(values, unit, sum);
    for (int sum = 0; piece == 0 && sum < Total::count; ++sum)
      if (Total::shape(sum) == Shape::tensor) tensor(values, work.row.numel, sum);
  }

 private:
  static void columns(const Values<Rule, T>& values, int64_t unit, int sum) {
    const Bands& bands = values.bands;
    const int64_t matrix = unit / blocks(bands), begin = unit % blocks(bands) * kColumns;
    const int64_t width = std::min(kColumns, bands.cols - begin);
    double total[kColumns];
    std::fill_n(total, width, 0.0);
    for (int64_t band = matrix * bands.count; band < (matrix + 1) * bands.count; ++band) {
      const T* from = values.band_cols + (band * Swept::column_sums + Total::nth(sum)) * bands.cols + begin;
      for (int64_t i = 0; i < width; ++i) total[i] = combined(Total::op(sum), total[i], static_cast<double>(from[i]));
    }
    T* to = values.at[Total::id(sum)] + matrix * bands.cols + begin;
    for (int64_t i = 0; i < width; ++i) to[i] = static_cast<T>(finished(Total::op(sum), total[i], bands.rows));
  }
  static void tensor(const Values<Rule, T>& values, int64_t numel, int sum) {
    double total = 0.0;
    for (int64_t band = 0; band < values.bands.all(); ++band)
      total = combined(Total::op(sum), total, values.band_sums[band * Swept::tensor_sums + Total::nth(sum)]);
    *values.at[Total::id(sum)] = static_cast<T>(finished(Total::op(sum), total, numel));
  }
};

// Runs a kernel over values smaller than elements: those of one matrix after another, or one for each matrix.
template <class Rule, class Kernel, class T>
struct AxisPhase {
  using F = Vec<T>;
  using Total = Sums<Rule, Kernel, T>;
  static constexpr bool by_matrix = Kernel::domain == Shape::row || Kernel::domain == Shape::col;

  static int64_t length(const Bands& bands) { return bands.values(Kernel::domain) / (by_matrix ? bands.batch : 1); }
  static Pieces split(const Bands& bands) {
    const bool whole = count_sums<Rule, Kernel>(Shape::tensor) > 0;
    return {by_matrix ? bands.batch : 1, length(bands), whole ? bands.values(Kernel::domain) : 1 << 14};
  }
  static int64_t pieces(const Row& row) { return split(Bands(row)).count(); }
  static void run(const MatrixWork& work, int64_t piece) {
    const Values<Rule, T> values(work);
    const Pieces pieces = split(values.bands);
    double totals[Total::count + 1];
    for (int sum = 0; sum < Total::count; ++sum) totals[sum] = 0.0;
    for (int64_t matrix = pieces.first(piece); matrix < pieces.last(piece); ++matrix) {
      const Total total = run_matrix(values, matrix);
      for (int sum = 0; sum < Total::count; ++sum) {
        if (Total::shape(sum) == Shape::matrix)
          values.at[Total::id(sum)][matrix] =
              static_cast<T>(finished(Total::op(sum), total.total(sum), length(values.bands)));
        totals[sum] = combined(Total::op(sum), totals[sum], total.total(sum));
      }
    }
    for (int sum = 0; sum < Total::count; ++sum)
      if (Total::shape(sum) == Shape::tensor)
        *values.at[Total::id(sum)] =
            static_cast<T>(finished(Total::op(sum), totals[sum], values.bands.values(Kernel::domain)));
  }

 private:
  static Total run_matrix(const Values<Rule, T>& values, int64_t matrix) {
    constexpr int streams = Kernel::streams::count, outputs = Kernel::outputs::count;
    const int64_t count = length(values.bands);
    F k[Kernel::uniforms::count + 1];
    for (int i = 0; i < Kernel::uniforms::count; ++i) k[i] = F(values.uniform(Kernel::uniforms::at[i], matrix, 0));
    Total total;
    T in[streams + 1][kLanes] = {}, out[outputs + 1][kLanes], terms[Total::count + 1][kLanes];
    for (int64_t i = 0; i < count; i += kLanes) {
      const int valid = static_cast<int>(std::min<int64_t>(kLanes, count - i));
      for (int s = 0; s < streams; ++s)
        std::copy_n(values.at[Kernel::streams::at[s]] + matrix * count + i, valid, in[s]);
      for (int part = 0; part < kLanes; part += F::lanes) {
        F s[streams + 1], made[outputs + 1], term[Total::count + 1];
        for (int n = 0; n < streams; ++n) s[n] = F::load(in[n] + part);
        Kernel::template update<F>(s, k, made, term);
        for (int n = 0; n < outputs; ++n) made[n].store(out[n] + part);
        for (int n = 0; n < Total::count; ++n) term[n].store(terms[n] + part);
      }
      for (int n = 0; n < outputs; ++n)
        std::copy_n(out[n], valid, values.at[Kernel::outputs::at[n]] + matrix * count + i);
      for (int n = 0; n < Total::count; ++n) total.add_some(n, terms[n], valid);
    }
    return total;
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
  constexpr void list(Kernels<Kernel...>) {
    static_assert(2 * sizeof...(Kernel) < most);
    (add_kernel<Kernel>(), ...);
    add<SavePhase<Rule, T>>();
  }
  template <class Kernel>
  constexpr void add_kernel() {
    if constexpr (Kernel::domain == Shape::element) {
      add<SweepPhase<Rule, Kernel, T>>();
      backward_ = !backward_;
      if constexpr (FinishPhase<Rule, Kernel, T>::needed) add<FinishPhase<Rule, Kernel, T>>();
    } else {
      add<AxisPhase<Rule, Kernel, T>>();
    }
  }
};

}  // namespace fusedopt::FUSEDOPT_ISA
