// What a step did to a tensor, measured on blocks that are in cache anyway.
#pragma once
#include "codecs.h"
#include "kernels.h"

namespace fusedopt::FUSEDOPT_ISA {

// Sixteen running sums whatever the vector width, so that every ISA adds in the same order.
template <class T>
class SquareSum {
 public:
  void add(const T* x, int count) {
    const int whole = count - count % lanes;
    for (int i = 0; i < whole; i += lanes)
      for (int j = 0; j < lanes; ++j) sums_[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
    for (int i = whole; i < count; ++i) sums_[i - whole] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  double total() const {
    double sums[lanes];
    std::copy_n(sums_, lanes, sums);
    for (int width = lanes / 2; width > 0; width /= 2)
      for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
    return sums[0];
  }

 private:
  static constexpr int lanes = 16;
  double sums_[lanes] = {};
};

template <class T, int Size>
class Watcher {
 public:
  // Before the update of a block.
  void open(const T* g, const T* p, int count) {
    gradient_.add(g, count);
    for (int i = 0; i < count; ++i) seen_.nonfinite += !(g[i] - g[i] == 0);
    std::copy_n(p, count, buffer_);
  }
  // After it.
  void close(const T* p, int count) {
    for (int i = 0; i < count; ++i) buffer_[i] = p[i] - buffer_[i];
    update_.add(buffer_, count);
  }
  // After it was stored: what storage could not tell from smaller or larger numbers.
  void stored(const T* values, const Place& place, int count) {
    decode_block(buffer_, place, count);
    for (int i = 0; i < count; ++i) {
      const T size = std::abs(values[i]), kept = std::abs(buffer_[i]);
      const bool finite = values[i] - values[i] == 0;
      seen_.flushed += finite && size > 0 && (kept == 0 || (kept > T(1.5) * size && kept - kept == 0));
      seen_.saturated += finite && kept != 0 && (kept < T(0.5) * size || kept - kept != 0);
    }
  }
  Seen seen() const {
    Seen all = seen_;
    all.gradient = gradient_.total(), all.update = update_.total();
    return all;
  }

 private:
  SquareSum<T> gradient_, update_;
  Seen seen_;
  T buffer_[Size];
};

}  // namespace fusedopt::FUSEDOPT_ISA
