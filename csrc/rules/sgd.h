// Written by `make rules` from fusedopt/rules/sgd.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct sgd {
  static constexpr const char* name = "sgd_17295403";
  static constexpr int states = 0, scalars = 0;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F*, const F*) {
    return g;
  }
};

struct sgd_momentum {
  static constexpr const char* name = "sgd_momentum_3304a6bf";
  static constexpr int states = 1, scalars = 2;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F b = s[0];
    const F momentum = k[0];
    const F rate = k[1];
    const F u = momentum * b + rate * g;
    s[0] = u;
    return u;
  }
};

struct sgd_momentum_nnmf {
  static constexpr const char* name = "sgd_momentum_nnmf_8370edb4";
  static constexpr int states = 3, scalars = 2;
  static constexpr bool whole = false;
  static constexpr int slot_count = 7;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // b_row
    {Shape::col, Op::none},  // b_col
    {Shape::element, Op::none},  // b_sign
    {Shape::row, Op::mean},  // row_mean3
    {Shape::col, Op::mean},  // col_mean4
    {Shape::matrix, Op::mean},  // col_mean5
    {Shape::col, Op::none},  // col6
  };
  static constexpr int saved[] = {3, 6, -1};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<2, 1>;
    using uniforms = Ids<0, 7, 8>;
    using outputs = Ids<>;
    using sums = Ids<3, 4>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F b_sign = s[0];
      const F b_col = s[1];
      const F b_row = k[0];
      const F momentum = k[1];
      const F rate = k[2];
      const F u = momentum * (b_row * b_col * b_sign) + rate * g;
      const F x2 = abs(u);
      s[0] = u;
      sum[0] = x2;
      sum[1] = x2;
      return u;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<3>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<5>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F*, F* sum) {
      const F row_mean3 = s[0];
      sum[0] = row_mean3;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<4>;
    using uniforms = Ids<5>;
    using outputs = Ids<6>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F col_mean4 = s[0];
      const F col_mean5 = k[0];
      out[0] = col_mean4 / maximum(col_mean5, F(1e-37));
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct sgd_nesterov {
  static constexpr const char* name = "sgd_nesterov_8d36422c";
  static constexpr int states = 1, scalars = 2;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F b = s[0];
    const F momentum = k[0];
    const F rate = k[1];
    const F new_b = momentum * b + rate * g;
    s[0] = new_b;
    return g + momentum * new_b;
  }
};

struct sgd_nesterov_nnmf {
  static constexpr const char* name = "sgd_nesterov_nnmf_623f83ee";
  static constexpr int states = 3, scalars = 2;
  static constexpr bool whole = false;
  static constexpr int slot_count = 7;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // b_row
    {Shape::col, Op::none},  // b_col
    {Shape::element, Op::none},  // b_sign
    {Shape::row, Op::mean},  // row_mean3
    {Shape::col, Op::mean},  // col_mean4
    {Shape::matrix, Op::mean},  // col_mean5
    {Shape::col, Op::none},  // col6
  };
  static constexpr int saved[] = {3, 6, -1};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<2, 1>;
    using uniforms = Ids<0, 7, 8>;
    using outputs = Ids<>;
    using sums = Ids<3, 4>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F b_sign = s[0];
      const F b_col = s[1];
      const F b_row = k[0];
      const F momentum = k[1];
      const F rate = k[2];
      const F new_b_sign = momentum * (b_row * b_col * b_sign) + rate * g;
      const F x2 = abs(new_b_sign);
      s[0] = new_b_sign;
      sum[0] = x2;
      sum[1] = x2;
      return g + momentum * new_b_sign;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<3>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<5>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F*, F* sum) {
      const F row_mean3 = s[0];
      sum[0] = row_mean3;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<4>;
    using uniforms = Ids<5>;
    using outputs = Ids<6>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F col_mean4 = s[0];
      const F col_mean5 = k[0];
      out[0] = col_mean4 / maximum(col_mean5, F(1e-37));
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

}  // namespace fusedopt
