// A kernel's sums along a row: kLanes running results, so that every ISA adds in the same order.
#pragma once
#include "../rules/composites.h"
#include "../stages.h"
#include "vec.h"

namespace fusedopt::FUSEDOPT_ISA {

constexpr int kLanes = 16;  // elements that a kernel takes at a time, whatever the ISA

template <class T>
T larger(T a, T b) {
  return a >= b || a != a ? a : b;
}

template <class F>
FUSEDOPT_INLINE F combined(Op op, F a, F b) {
  return op == Op::max ? larger(a, b) : a + b;
}

template <class T>
void add_to(T* to, const T* terms, int64_t count, Op op) {
  for (int64_t i = 0; i < count; ++i) to[i] = combined(op, to[i], terms[i]);
}

// The value of a finished sum over `count` terms.
inline double finished(Op op, double total, int64_t count) {
  return op == Op::max ? total : total / static_cast<double>(count);
}

template <class Rule, class Kernel, class T>
class Sums {
 public:
  using F = Vec<T>;
  static constexpr int count = Kernel::sums::count, parts = kLanes / F::lanes;
  static constexpr int id(int sum) { return Kernel::sums::at[sum]; }
  static constexpr Shape shape(int sum) { return Rule::slots[id(sum)].shape; }
  static constexpr Op op(int sum) { return Rule::slots[id(sum)].op; }
  // Its place among the kernel's sums of the same shape.
  static constexpr int nth(int sum) {
    int before = 0;
    for (int i = 0; i < sum; ++i) before += shape(i) == shape(sum);
    return before;
  }
  // Sums down the columns of a sweep are kept per column, not here.
  static constexpr bool along(int sum) { return Kernel::domain != Shape::element || shape(sum) != Shape::col; }

  F lanes[count + 1][parts];

  Sums() {
    for (int sum = 0; sum < count; ++sum)
      for (int part = 0; part < parts; ++part) lanes[sum][part] = F(0);
  }
  // The first `valid` of a group's terms.
  void add_some(int sum, const T* terms, int valid) {
    T lane[kLanes];
    std::memcpy(lane, lanes[sum], sizeof(lane));
    for (int i = 0; i < valid; ++i) lane[i] = combined(op(sum), lane[i], terms[i]);
    std::memcpy(lanes[sum], lane, sizeof(lane));
  }
  double total(int sum) const {
    T lane[kLanes];
    std::memcpy(lane, lanes[sum], sizeof(lane));
    double total = 0;
    for (int i = 0; i < kLanes; ++i) total = combined(op(sum), total, static_cast<double>(lane[i]));
    return total;
  }
};

}  // namespace fusedopt::FUSEDOPT_ISA
