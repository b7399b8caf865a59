// Written by `make rules` from fusedopt/rules/adam_mini.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adam_mini {
  static constexpr const char* name = "adam_mini_d3249c67";
  static constexpr int states = 2, scalars = 7;
  static constexpr bool whole = false;
  static constexpr int slot_count = 4;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::tensor, Op::none},  // v
    {Shape::tensor, Op::mean},  // mean2
    {Shape::tensor, Op::none},  // tensor3
  };
  static constexpr int saved[] = {-1, 3};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<2>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F*, const F*, F* sum) {
      sum[0] = g * g;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::tensor;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<1, 6, 7, 2>;
    using outputs = Ids<3>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F v = k[0];
      const F beta2 = k[1];
      const F rate2 = k[2];
      const F mean2 = k[3];
      out[0] = beta2 * v + rate2 * mean2;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<4, 5, 8, 9, 10, 3>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F m = s[0];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F debias1 = k[2];
      const F root_debias2 = k[3];
      const F eps = k[4];
      const F tensor3 = k[5];
      const F new_m = beta1 * m + rate1 * g;
      s[0] = new_m;
      return debias1 / (root_debias2 * sqrt(tensor3) + eps) * new_m;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct adam_mini_rows {
  static constexpr const char* name = "adam_mini_rows_f30e5b26";
  static constexpr int states = 2, scalars = 7;
  static constexpr bool whole = false;
  static constexpr int slot_count = 5;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // v
    {Shape::row, Op::mean},  // row_mean2
    {Shape::row, Op::none},  // row3
    {Shape::row, Op::none},  // row4
  };
  static constexpr int saved[] = {-1, 3};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<2>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F*, const F*, F* sum) {
      sum[0] = g * g;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 2>;
    using uniforms = Ids<7, 8, 9, 10, 11>;
    using outputs = Ids<3, 4>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F v = s[0];
      const F row_mean2 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F debias1 = k[2];
      const F root_debias2 = k[3];
      const F eps = k[4];
      const F new_v = beta2 * v + rate2 * row_mean2;
      out[0] = new_v;
      out[1] = debias1 / (root_debias2 * sqrt(new_v) + eps);
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<5, 6, 4>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F m = s[0];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F row4 = k[2];
      const F new_m = beta1 * m + rate1 * g;
      s[0] = new_m;
      return row4 * new_m;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

}  // namespace fusedopt
