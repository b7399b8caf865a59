// Where a rule's values live while one tensor is stepped.
#pragma once
#include <algorithm>

#include "../rules/layout.h"
#include "../stages.h"
#include "kernels.h"

namespace fusedopt::FUSEDOPT_ISA {

// A tensor as matrices, and the bands of rows that are swept as one; both follow from its row alone.
struct Bands {
  int64_t batch, rows, cols, height, count;  // `count` bands of one matrix, `height` rows each

  explicit Bands(const Row& row)
      : batch(row.numel / (row.rows * row.cols)), rows(row.rows), cols(row.cols),
        height(std::max<int64_t>(128, (rows + 255) / 256)), count((rows + height - 1) / height) {}

  int64_t all() const { return batch * count; }
  // The first row of a band, and the band of a row; rows count through all matrices, and so do bands.
  int64_t row(int64_t band) const { return band / count * rows + band % count * height; }
  int64_t band(int64_t row) const { return row / rows * count + row % rows / height; }
  int64_t values(Shape shape) const {
    if (shape == Shape::row) return batch * rows;
    if (shape == Shape::col) return batch * cols;
    return shape == Shape::matrix ? batch : 1;
  }
};

template <class Rule, class Kernel>
constexpr int count_sums(Shape shape) {
  int found = 0;
  for (int i = 0; i < Kernel::sums::count; ++i) found += Rule::slots[Kernel::sums::at[i]].shape == shape;
  return found;
}

// States in their own memory; temporaries, and the partial sums of every band, in scratch memory.
template <class Rule, class T>
struct Values {
  Bands bands;
  int64_t bytes = 0;  // of scratch
  double* band_sums;  // [band][sum over the tensor]
  T* band_cols;       // [band][sum down the columns][column]
  T* at[Rule::slot_count];
  T scalar[Rule::scalars + 1];

  Values(const Row& row, void* scratch) : bands(row) {
    char* base = static_cast<char*>(scratch);
    band_sums = take<double>(base, bands.all() * most(typename Rule::List(), Shape::tensor));
    band_cols = take<T>(base, bands.all() * most(typename Rule::List(), Shape::col) * bands.cols);
    for (int id = 0; id < Rule::slot_count; ++id)
      at[id] = id < Rule::states ? static_cast<T*>(row.stream[kFirstState + id])
                                 : take<T>(base, bands.values(Rule::slots[id].shape));
  }
  explicit Values(const MatrixWork& work) : Values(work.row, work.scratch) {
    for (int i = 0; i < Rule::scalars; ++i) scalar[i] = static_cast<T>(work.scalars[column::count + i]);
  }

  // A value that is the same all along a row; rows count through all matrices.
  T uniform(int id, int64_t matrix, int64_t row) const {
    if (id >= Rule::slot_count) return scalar[id - Rule::slot_count];
    const Shape shape = Rule::slots[id].shape;
    return at[id][shape == Shape::row ? row : shape == Shape::matrix ? matrix : 0];
  }

 private:
  template <class U>
  U* take(char* base, int64_t count) {
    U* taken = base ? reinterpret_cast<U*>(base + bytes) : nullptr;
    bytes += (count * static_cast<int64_t>(sizeof(U)) + 63) / 64 * 64;
    return taken;
  }
  template <class... K>
  static constexpr int most(Kernels<K...>, Shape shape) {
    return std::max({0, (K::domain == Shape::element ? count_sums<Rule, K>(shape) : 0)...});
  }
};

}  // namespace fusedopt::FUSEDOPT_ISA
