// Written by `make rules` from fusedopt/rules/adam.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adam {
  static constexpr const char* name = "adam_aa74d513";
  static constexpr int states = 2, scalars = 7;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F debias1 = k[4];
    const F root_debias2 = k[5];
    const F eps = k[6];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * g * g;
    s[0] = new_m;
    s[1] = new_v;
    return debias1 * new_m / (root_debias2 * sqrt(new_v) + eps);
  }
};

struct adam_nnmf {
  static constexpr const char* name = "adam_nnmf_8aced50d";
  static constexpr int states = 5, scalars = 7;
  static constexpr bool whole = false;
  static constexpr int slot_count = 13;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // m_row
    {Shape::col, Op::none},  // m_col
    {Shape::element, Op::none},  // m_sign
    {Shape::row, Op::none},  // v_row
    {Shape::col, Op::none},  // v_col
    {Shape::row, Op::mean},  // row_mean5
    {Shape::col, Op::mean},  // col_mean6
    {Shape::row, Op::mean},  // row_mean7
    {Shape::col, Op::mean},  // col_mean8
    {Shape::matrix, Op::mean},  // col_mean9
    {Shape::matrix, Op::mean},  // col_mean10
    {Shape::col, Op::none},  // col11
    {Shape::col, Op::none},  // col12
  };
  static constexpr int saved[] = {5, 11, -1, 7, 12};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<2, 1, 4>;
    using uniforms = Ids<0, 3, 13, 14, 15, 16, 17, 18, 19>;
    using outputs = Ids<>;
    using sums = Ids<5, 6, 7, 8>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F m_sign = s[0];
      const F m_col = s[1];
      const F v_col = s[2];
      const F m_row = k[0];
      const F v_row = k[1];
      const F beta1 = k[2];
      const F rate1 = k[3];
      const F beta2 = k[4];
      const F rate2 = k[5];
      const F debias1 = k[6];
      const F root_debias2 = k[7];
      const F eps = k[8];
      const F new_m_sign = beta1 * (m_row * m_col * m_sign) + rate1 * g;
      const F x2 = beta2 * (v_row * v_col) + rate2 * g * g;
      const F x3 = abs(new_m_sign);
      s[0] = new_m_sign;
      sum[0] = x3;
      sum[1] = x3;
      sum[2] = x2;
      sum[3] = x2;
      return debias1 * new_m_sign / (root_debias2 * sqrt(x2) + eps);
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<5, 7>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<9, 10>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F*, F* sum) {
      const F row_mean5 = s[0];
      const F row_mean7 = s[1];
      sum[0] = row_mean5;
      sum[1] = row_mean7;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<6, 8>;
    using uniforms = Ids<9, 10>;
    using outputs = Ids<11, 12>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F col_mean6 = s[0];
      const F col_mean8 = s[1];
      const F col_mean9 = k[0];
      const F col_mean10 = k[1];
      out[0] = col_mean6 / maximum(col_mean9, F(1e-37));
      out[1] = col_mean8 / maximum(col_mean10, F(1e-37));
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct amsgrad {
  static constexpr const char* name = "amsgrad_44872ef1";
  static constexpr int states = 3, scalars = 7;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F v = s[1];
    const F v_max = s[2];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    const F debias1 = k[4];
    const F root_debias2 = k[5];
    const F eps = k[6];
    const F new_m = beta1 * m + rate1 * g;
    const F new_v = beta2 * v + rate2 * g * g;
    const F new_v_max = maximum(v_max, new_v);
    s[0] = new_m;
    s[1] = new_v;
    s[2] = new_v_max;
    return debias1 * new_m / (root_debias2 * sqrt(new_v_max) + eps);
  }
};

}  // namespace fusedopt
