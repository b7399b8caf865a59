// Phases over values smaller than elements: what sweeps added up, and what follows from it.
#pragma once
#include "rows.h"

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

// Adds up what the bands of a sweep left: by columns, and over the tensor.
template <class Rule, class Kernel, class T>
struct FinishPhase {
  using Total = Sums<Rule, Kernel, T>;
  using Swept = FUSEDOPT_ISA::Swept<Rule, Kernel, T>;
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
      const Total total = run_part(values, matrix, 0, length(values.bands));
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

  // The values of one matrix from `begin` to `end`.
  static Total run_part(const Values<Rule, T>& values, int64_t matrix, int64_t begin, int64_t end) {
    constexpr int streams = Kernel::streams::count, outputs = Kernel::outputs::count;
    const int64_t count = length(values.bands);
    F k[Kernel::uniforms::count + 1];
    for (int i = 0; i < Kernel::uniforms::count; ++i) k[i] = F(values.uniform(Kernel::uniforms::at[i], matrix, 0));
    Total total;
    T in[streams + 1][kLanes] = {}, out[outputs + 1][kLanes], terms[Total::count + 1][kLanes];
    for (int64_t i = begin; i < end; i += kLanes) {
      const int valid = static_cast<int>(std::min<int64_t>(kLanes, end - i));
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

// A kernel over rows' values, for those of some rows.
template <class Rule, class Kernel, class T>
class RowValues {
 public:
  explicit RowValues(const Tensor<Rule, T>& tensor) : values_(tensor.values) {}
  Seen seen() const { return {}; }
  void run(int64_t begin, int64_t end) {
    const int64_t rows = values_.bands.rows;
    for (int64_t row = begin, next; row < end; row = next) {
      next = std::min(end, (row / rows + 1) * rows);
      AxisPhase<Rule, Kernel, T>::run_part(values_, row / rows, row % rows, row % rows + next - row);
    }
  }

 private:
  const Values<Rule, T>& values_;
};

}  // namespace fusedopt::FUSEDOPT_ISA
