// A kernel over many short rows at once, such as those of 3 x 3 convolutions: what is the same along a row or down a
// column is spread over the elements first, and terms are added up afterwards, one by one.
#pragma once
#include "sweep.h"

namespace fusedopt::FUSEDOPT_ISA {

constexpr int kNarrow = 64;  // columns; from here on a row is worth a loop of its own

template <class Rule, class Kernel, class T>
class NarrowSweep : SweepBase<Rule, Kernel, T> {
  using Base = SweepBase<Rule, Kernel, T>;
  using Base::row_, Base::values_, Base::header_, Base::buffer_;
  using Base::streams, Base::sums, Base::uniforms, Base::kFirst, Base::written;
  using typename Base::F, typename Base::Total;

 public:
  using Base::Base, Base::seen;

  // Calls add(row, band, sum, terms) with the terms of every row in [begin, end). Rows and bands count through all
  // matrices.
  template <class Add>
  void run(int64_t begin, int64_t end, const Add& add) {
    const int64_t most = kSpan / row_.cols / kLanes * kLanes;
    for (int64_t row = begin; row < end; row += most) block(row, static_cast<int>(std::min(most, end - row)), add);
  }

 private:
  static constexpr Shape shape(int uniform) {
    const int id = Kernel::uniforms::at[uniform];
    return id < Rule::slot_count ? Rule::slots[id].shape : Shape::tensor;
  }
  static constexpr bool is_spread(int uniform) {
    return shape(uniform) == Shape::row || shape(uniform) == Shape::matrix;
  }

  template <class Add>
  void block(int64_t row, int rows, const Add& add) {
    const int cols = static_cast<int>(row_.cols), count = rows * cols;
    const int64_t matrix = row / row_.rows;
    locate(row, rows);
    T* at[streams] = {};
    for (int s = 0; s < streams; ++s)
      at[s] = Base::is_column(s)
                  ? spread(spread_[s], values_.at[Kernel::streams::at[s - kFirst]] + matrix * cols, col_of_, count)
                  : open(s, row, rows);
    F k[uniforms + 1];
    for (int n = 0; n < uniforms; ++n) {
      const T* from = is_spread(n) ? values_.at[Kernel::uniforms::at[n]] : nullptr;
      if (shape(n) == Shape::row) spread(uniform_[n], from + row, row_of_, count);
      if (shape(n) == Shape::matrix) spread(uniform_[n], from + matrix, matrix_of_, count);
      if (!is_spread(n)) k[n] = F(values_.uniform(Kernel::uniforms::at[n], matrix, row));
    }
    Base::watch_before(at, count);
    for (int i = 0; i < count; i += F::lanes) {
      F term[sums + 1];
      for (int n = 0; n < uniforms; ++n)
        if (is_spread(n)) k[n] = F::load(uniform_[n] + i);
      Base::apply(header_, at, i, k, term);
      for (int sum = 0; sum < sums; ++sum) term[sum].store(terms_[sum] + i);
    }
    Base::watch_after(at, count);
    for (int s = kParam; s < written; ++s) close(s, at[s], row, rows);
    for (int sum = 0; sum < sums; ++sum)
      for (int r = 0; r < rows; ++r) add(row + r, band_of_[r], sum, terms_[sum] + r * cols);
  }

  // For every element of the block: its row, its matrix and its column value, counted from those of the first.
  void locate(int64_t row, int rows) {
    const Bands& bands = values_.bands;
    int64_t matrix = row / bands.rows, in_matrix = row % bands.rows;
    int matrices = 0, columns = 0;
    for (int r = 0, i = 0; r < rows; ++r) {
      for (int c = 0; c < row_.cols; ++c, ++i) {
        row_of_[i] = r;
        matrix_of_[i] = matrices;
        col_of_[i] = columns + c;
      }
      band_of_[r] = bands.count == 1 ? matrix : matrix * bands.count + in_matrix / bands.height;
      if (++in_matrix == bands.rows) {
        in_matrix = 0;
        ++matrix, ++matrices;
        columns += static_cast<int>(row_.cols);
      }
    }
  }
  static T* spread(T* to, const T* from, const int* index, int count) {
    for (int i = 0; i < count; ++i) to[i] = from[index[i]];
    return to;
  }

  T* open(int s, int64_t row, int rows) {
    const int cols = static_cast<int>(row_.cols);
    if (!Base::needs(s, header_)) return nullptr;
    if (!Base::by_rows(s)) return buffer_[s].open_padded(Base::at(s, row, 0), rows * cols);
    for (int r = 0; r < rows; ++r) {
      T values[kNarrow];
      decode_block(values, Base::at(s, row + r, 0), cols);
      std::copy_n(values, cols, spread_[s] + r * cols);
    }
    return spread_[s];
  }
  void close(int s, const T* at, int64_t row, int rows) {
    const int cols = static_cast<int>(row_.cols);
    if (!Base::by_rows(s)) {
      buffer_[s].close(at, Base::at(s, row, 0), rows * cols);
      return Base::watch_stored(at, Base::at(s, row, 0), rows * cols);
    }
    for (int r = 0; r < rows; ++r) {
      encode_block(at + r * cols, Base::at(s, row + r, 0), cols);
      Base::watch_stored(at + r * cols, Base::at(s, row + r, 0), cols);
    }
  }

  int row_of_[kSpan], matrix_of_[kSpan], col_of_[kSpan];
  int64_t band_of_[kSpan];
  alignas(64) T spread_[streams][kSpan] = {};
  alignas(64) T uniform_[uniforms + 1][kSpan] = {};
  alignas(64) T terms_[sums + 1][kSpan];
};

}  // namespace fusedopt::FUSEDOPT_ISA
