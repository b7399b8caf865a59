// A kernel over the elements of one matrix row after another.
#pragma once
#include "engine.h"
#include "sums.h"
#include "values.h"

namespace fusedopt::FUSEDOPT_ISA {

constexpr int kSpan = 1024;  // elements that are decoded at a time

// What a sweep of any kind does with one tensor: its streams are gradient, parameter and the kernel's own.
template <class Rule, class Kernel, class T>
class SweepBase {
 public:
  using F = Vec<T>;
  using Total = Sums<Rule, Kernel, T>;

  SweepBase(const MatrixWork& work, const Values<Rule, T>& values)
      : row_(work.row), places_(work.row, work.scalars), values_(values), header_(work.scalars, work.coefficient),
        watches_(Kernel::commits && work.seen) {}

  Seen seen() const { return watcher_.seen(); }

 protected:
  static constexpr int kFirst = 2, streams = kFirst + Kernel::streams::count, uniforms = Kernel::uniforms::count;
  static constexpr int sums = Total::count, column_sums = count_sums<Rule, Kernel>(Shape::col);
  static constexpr int written =
      Kernel::commits ? kFirst + Kernel::written : kParam;  // end of the streams stored again

  static constexpr bool is_column(int s) {
    return s >= kFirst && Rule::slots[Kernel::streams::at[s - kFirst]].shape == Shape::col;
  }
  static constexpr int place(int s) { return s < kFirst ? s : kFirstState + Kernel::streams::at[s - kFirst]; }
  static bool needs(int s, const Header<T>& header) {
    return s == kGrad ? Kernel::reads_g : s > kParam || Kernel::reads_p || Kernel::commits || header.has_l2;
  }
  // A row of bits begins a new byte, one of scaled codes a new block.
  Place at(int s, int64_t row, int64_t col) const {
    const int64_t length = is_bits(s) ? (row_.cols + 7) / 8 * 8 : row_.cols;
    return places_.at(place(s), row * length + col, row * ((row_.cols + kBlock8 - 1) / kBlock8) + col / kBlock8);
  }
  bool is_bits(int s) const { return row_.codec(place(s)) == kBits; }
  void watch_before(T* const* at, int count) {
    if (watches_ && at[kGrad]) watcher_.open(at[kGrad], at[kParam], count);
  }
  void watch_after(T* const* at, int count) {
    if (watches_ && at[kGrad]) watcher_.close(at[kParam], count);
  }
  void watch_stored(const T* at, const Place& place, int count) {
    if (watches_ && place.codec != kNative<T> && place.codec != kBits) watcher_.stored(at, place, count);
  }
  // Whether rows are stored one by one, so that none can be read together with the next.
  bool by_rows(int s) const { return row_.codec(place(s)) >= kBits; }

  // The kernel on one vector of every stream, at element i.
  FUSEDOPT_INLINE static void apply(const Header<T>& header, T* const* at, int i, const F* k, F* term) {
    F s[streams], g(0), p(0);
    for (int n = kFirst; n < streams; ++n) s[n - kFirst] = F::load(at[n] + i);
    if (needs(kParam, header)) p = F::load(at[kParam] + i);
    if (needs(kGrad, header)) g = header.gradient(F::load(at[kGrad] + i), p);
    if constexpr (Kernel::commits) {
      const F u = Kernel::template update<F>(g, p, s, k, term);
      header.template stepped<Rule>(u, g, p).store(at[kParam] + i);
      for (int n = kFirst; n < written; ++n) s[n - kFirst].store(at[n] + i);
    } else {
      Kernel::template update<F>(g, p, s, k, term);
    }
  }

  const Row& row_;
  const Places places_;
  const Values<Rule, T>& values_;
  const Header<T> header_;
  const bool watches_;
  Watcher<T, kSpan> watcher_;
  Stream<T, kSpan> buffer_[streams];
};

template <class Rule, class Kernel, class T>
class Sweep : SweepBase<Rule, Kernel, T> {
  using Base = SweepBase<Rule, Kernel, T>;
  using Base::row_, Base::values_, Base::header_, Base::buffer_;
  using Base::streams, Base::sums, Base::uniforms, Base::kFirst, Base::column_sums, Base::written;
  using typename Base::F;

 public:
  using Base::Base, Base::seen;
  using typename Base::Total;

  // Rows count through all matrices. `cols` has a row's length for every sum down the columns.
  Total run(int64_t matrix, int64_t row, T* cols) {
    F k[uniforms + 1];
    for (int i = 0; i < uniforms; ++i) k[i] = F(values_.uniform(Kernel::uniforms::at[i], matrix, row));
    Total total;
    for (int64_t col = 0; col < row_.cols; col += kSpan) {
      const int count = static_cast<int>(std::min<int64_t>(kSpan, row_.cols - col)), whole = count - count % kLanes;
      T* at[streams] = {};
      open(at, matrix, row, col, count);
      Base::watch_before(at, count);
      groups(at, whole, k, cols + col, total);
      if (whole < count) tail(at, whole, count - whole, k, cols + col, total);
      Base::watch_after(at, count);
      for (int s = kParam; s < written; ++s) {
        buffer_[s].close(at[s], Base::at(s, row, col), count);
        Base::watch_stored(at[s], Base::at(s, row, col), count);
      }
    }
    return total;
  }

 private:
  void open(T** at, int64_t matrix, int64_t row, int64_t col, int count) {
    for (int s = 0; s < streams; ++s) {
      if (Base::is_column(s))
        at[s] = values_.at[Kernel::streams::at[s - kFirst]] + matrix * row_.cols + col;
      else if (Base::needs(s, header_))
        at[s] = buffer_[s].open(Base::at(s, row, col), count);
    }
  }

  // What the loop reads is copied first, as stores could change any member for all that the compiler can tell.
  FUSEDOPT_INLINE void groups(T* const* from, int count, const F* values, T* cols, Total& total) const {
    T* at[streams];
    F k[uniforms + 1], lanes[sums + 1][Total::parts];
    for (int s = 0; s < streams; ++s) at[s] = from[s];
    for (int i = 0; i < uniforms; ++i) k[i] = values[i];
    for (int sum = 0; sum < sums; ++sum)
      for (int part = 0; part < Total::parts; ++part) lanes[sum][part] = total.lanes[sum][part];
    const Header<T> header = header_;
    const int64_t stride = row_.cols;
    for (int i = 0; i < count; i += kLanes)
      for (int part = 0; part < Total::parts; ++part) {
        const int at_lane = i + part * F::lanes;
        F term[sums + 1];
        Base::apply(header, at, at_lane, k, term);
        for (int sum = 0, c = 0; sum < sums; ++sum) {
          T* column = cols + stride * c + at_lane;
          if (Total::along(sum))
            lanes[sum][part] = combined(Total::op(sum), lanes[sum][part], term[sum]);
          else
            combined(Total::op(sum), F::load(column), term[sum]).store(column), ++c;
        }
      }
    for (int sum = 0; sum < sums; ++sum)
      for (int part = 0; part < Total::parts; ++part) total.lanes[sum][part] = lanes[sum][part];
  }

  // The last elements of a row, fewer than kLanes: in copies of full length.
  void tail(T* const* from, int begin, int count, const F* k, T* cols, Total& total) const {
    T copy[streams][kLanes] = {}, terms[sums + 1][kLanes], *at[streams];
    for (int s = 0; s < streams; ++s) {
      if (from[s]) std::copy_n(from[s] + begin, count, copy[s]);
      at[s] = copy[s];
    }
    for (int i = 0; i < count; i += F::lanes) {
      F term[sums + 1];
      Base::apply(header_, at, i, k, term);
      for (int sum = 0; sum < sums; ++sum) term[sum].store(terms[sum] + i);
    }
    for (int s = kParam; s < written; ++s) std::copy_n(copy[s], count, from[s] + begin);
    for (int sum = 0, c = 0; sum < sums; ++sum) {
      if (Total::along(sum))
        total.add_some(sum, terms[sum], count);
      else
        add_to(cols + row_.cols * c++ + begin, terms[sum], count, Total::op(sum));
    }
  }
};

}  // namespace fusedopt::FUSEDOPT_ISA
