// Written by `make rules` from fusedopt/rules/lion.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct lion {
  static constexpr const char* name = "lion_61f2d414";
  static constexpr int states = 1, scalars = 4;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F m = s[0];
    const F beta1 = k[0];
    const F rate1 = k[1];
    const F beta2 = k[2];
    const F rate2 = k[3];
    s[0] = beta2 * m + rate2 * g;
    return sign(beta1 * m + rate1 * g);
  }
};

struct lion_nnmf {
  static constexpr const char* name = "lion_nnmf_da1759d2";
  static constexpr int states = 3, scalars = 4;
  static constexpr bool whole = false;
  static constexpr int slot_count = 7;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // m_row
    {Shape::col, Op::none},  // m_col
    {Shape::element, Op::none},  // m_sign
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
    using uniforms = Ids<0, 7, 8, 9, 10>;
    using outputs = Ids<>;
    using sums = Ids<3, 4>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F m_sign = s[0];
      const F m_col = s[1];
      const F m_row = k[0];
      const F beta1 = k[1];
      const F rate1 = k[2];
      const F beta2 = k[3];
      const F rate2 = k[4];
      const F x1 = m_row * m_col * m_sign;
      const F new_m_sign = beta2 * x1 + rate2 * g;
      const F x3 = abs(new_m_sign);
      s[0] = new_m_sign;
      sum[0] = x3;
      sum[1] = x3;
      return sign(beta1 * x1 + rate1 * g);
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
