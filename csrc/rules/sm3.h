// Written by `make rules` from fusedopt/rules/sm3.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct sm3_i {
  static constexpr const char* name = "sm3_i_b780d06b";
  static constexpr int states = 2, scalars = 1;
  static constexpr bool whole = false;
  static constexpr int slot_count = 6;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::max},  // row_max2
    {Shape::col, Op::max},  // col_max3
    {Shape::row, Op::none},  // row4
    {Shape::col, Op::none},  // col5
  };
  static constexpr int saved[] = {4, 5};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<2, 3>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F*, const F*, F* sum) {
      sum[0] = g * g;
      sum[1] = g * g;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<0, 2>;
    using uniforms = Ids<>;
    using outputs = Ids<4>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F* out, F*) {
      const F r = s[0];
      const F row_max2 = s[1];
      out[0] = r + row_max2;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 3>;
    using uniforms = Ids<>;
    using outputs = Ids<5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F* out, F*) {
      const F c = s[0];
      const F col_max3 = s[1];
      out[0] = c + col_max3;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<5>;
    using uniforms = Ids<6, 4>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F col5 = s[0];
      const F eps = k[0];
      const F row4 = k[1];
      return g / sqrt(minimum(row4, col5) + eps);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3>;
};

struct sm3_i_momentum {
  static constexpr const char* name = "sm3_i_momentum_dd29da74";
  static constexpr int states = 3, scalars = 3;
  static constexpr bool whole = false;
  static constexpr int slot_count = 7;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::max},  // row_max3
    {Shape::col, Op::max},  // col_max4
    {Shape::row, Op::none},  // row5
    {Shape::col, Op::none},  // col6
  };
  static constexpr int saved[] = {-1, 5, 6};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<3, 4>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F*, const F*, F* sum) {
      sum[0] = g * g;
      sum[1] = g * g;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 3>;
    using uniforms = Ids<>;
    using outputs = Ids<5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F* out, F*) {
      const F r = s[0];
      const F row_max3 = s[1];
      out[0] = r + row_max3;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<2, 4>;
    using uniforms = Ids<>;
    using outputs = Ids<6>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F* out, F*) {
      const F c = s[0];
      const F col_max4 = s[1];
      out[0] = c + col_max4;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<0, 6>;
    using uniforms = Ids<7, 8, 9, 5>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F m = s[0];
      const F col6 = s[1];
      const F eps = k[0];
      const F beta1 = k[1];
      const F rate1 = k[2];
      const F row5 = k[3];
      const F u = beta1 * m + rate1 * (g / sqrt(minimum(row5, col6) + eps));
      s[0] = u;
      return u;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3>;
};

struct sm3_ii {
  static constexpr const char* name = "sm3_ii_ba0c7dbb";
  static constexpr int states = 2, scalars = 1;
  static constexpr bool whole = false;
  static constexpr int slot_count = 4;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::max},  // row_max2
    {Shape::col, Op::max},  // col_max3
  };
  static constexpr int saved[] = {2, 3};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1>;
    using uniforms = Ids<0, 4>;
    using outputs = Ids<>;
    using sums = Ids<2, 3>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F c = s[0];
      const F r = k[0];
      const F eps = k[1];
      const F x1 = minimum(r, c) + g * g;
      sum[0] = x1;
      sum[1] = x1;
      return g / sqrt(x1 + eps);
    }
  };
  using List = Kernels<kernel0>;
};

struct sm3_ii_momentum {
  static constexpr const char* name = "sm3_ii_momentum_fd51aeb0";
  static constexpr int states = 3, scalars = 3;
  static constexpr bool whole = false;
  static constexpr int slot_count = 5;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::max},  // row_max3
    {Shape::col, Op::max},  // col_max4
  };
  static constexpr int saved[] = {-1, 3, 4};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<0, 2>;
    using uniforms = Ids<1, 5, 6, 7>;
    using outputs = Ids<>;
    using sums = Ids<3, 4>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F m = s[0];
      const F c = s[1];
      const F r = k[0];
      const F eps = k[1];
      const F beta1 = k[2];
      const F rate1 = k[3];
      const F x1 = minimum(r, c) + g * g;
      const F u = beta1 * m + rate1 * (g / sqrt(x1 + eps));
      s[0] = u;
      sum[0] = x1;
      sum[1] = x1;
      return u;
    }
  };
  using List = Kernels<kernel0>;
};

struct sm3_vector {
  static constexpr const char* name = "sm3_vector_954b720d";
  static constexpr int states = 1, scalars = 1;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F v = s[0];
    const F eps = k[0];
    const F new_v = v + g * g;
    s[0] = new_v;
    return g / sqrt(new_v + eps);
  }
};

struct sm3_vector_momentum {
  static constexpr const char* name = "sm3_vector_momentum_bdc0aaf1";
  static constexpr int states = 2, scalars = 3;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F eps = k[0];
    const F beta1 = k[1];
    const F rate1 = k[2];
    const F new_v = v + g * g;
    const F u = beta1 * m + rate1 * (g / sqrt(new_v + eps));
    s[0] = u;
    s[1] = new_v;
    return u;
  }
};

}  // namespace fusedopt
