// One kernel over some rows of a tensor, and where its sums go.
#pragma once
#include "narrow.h"

namespace fusedopt::FUSEDOPT_ISA {

// One kernel over rows, which count through all matrices: what it adds up goes to the rows, or to the rows' bands.
template <class Rule, class Kernel, class T>
struct Swept {
  using Total = Sums<Rule, Kernel, T>;
  static constexpr int column_sums = count_sums<Rule, Kernel>(Shape::col);
  static constexpr int tensor_sums = count_sums<Rule, Kernel>(Shape::tensor);

  static T* cols_of(const Values<Rule, T>& values, int64_t band) {
    return values.band_cols + band * column_sums * values.bands.cols;
  }
  // Sums begin at zero, in the bands from `first` to `last`.
  static void clear(const Values<Rule, T>& values, int64_t first, int64_t last) {
    std::fill(cols_of(values, first), cols_of(values, last), T(0));
    std::fill(values.band_sums + first * tensor_sums, values.band_sums + last * tensor_sums, 0.0);
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

template <class Rule, class T>
struct Tensor {
  const MatrixWork& work;
  const Values<Rule, T>& values;
};

template <class Rule, class Kernel, class T>
class WideRows : Swept<Rule, Kernel, T> {
  using Base = Swept<Rule, Kernel, T>;
  using typename Base::Total;

 public:
  explicit WideRows(const Tensor<Rule, T>& tensor) : values_(tensor.values), sweep_(tensor.work, tensor.values) {}
  Seen seen() const { return sweep_.seen(); }
  void run(int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t band = values_.bands.band(row);
      const Total total = sweep_.run(row / values_.bands.rows, row, Base::cols_of(values_, band));
      for (int sum = 0; sum < Total::count; ++sum)
        if (Total::along(sum)) Base::store(values_, row, band, sum, total.total(sum));
    }
  }

 private:
  const Values<Rule, T>& values_;
  Sweep<Rule, Kernel, T> sweep_;
};

template <class Rule, class Kernel, class T>
class NarrowRows : Swept<Rule, Kernel, T> {
  using Base = Swept<Rule, Kernel, T>;
  using typename Base::Total;

 public:
  explicit NarrowRows(const Tensor<Rule, T>& tensor) : values_(tensor.values), sweep_(tensor.work, tensor.values) {}
  Seen seen() const { return sweep_.seen(); }
  void run(int64_t begin, int64_t end) {
    sweep_.run(begin, end, [&](int64_t row, int64_t band, int sum, const T* terms) {
      const int64_t width = values_.bands.cols;
      if (!Total::along(sum))
        return add_to(Base::cols_of(values_, band) + Total::nth(sum) * width, terms, width, Total::op(sum));
      T total = 0;
      for (int64_t i = 0; i < width; ++i) total = combined(Total::op(sum), total, terms[i]);
      Base::store(values_, row, band, sum, total);
    });
  }

 private:
  const Values<Rule, T>& values_;
  NarrowSweep<Rule, Kernel, T> sweep_;
};

}  // namespace fusedopt::FUSEDOPT_ISA
