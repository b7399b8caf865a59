// Written by `make rules` from fusedopt/rules/adadelta.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adadelta {
  static constexpr const char* name = "adadelta";
  static constexpr int states = 2, scalars = 3;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F v = s[0];
    const F d = s[1];
    const F rho = k[0];
    const F rate = k[1];
    const F eps = k[2];
    const F new_v = rho * v + rate * g * g;
    const F u = sqrt(d + eps) / sqrt(new_v + eps) * g;
    s[0] = new_v;
    s[1] = rho * d + rate * u * u;
    return u;
  }
};

struct adadelta_nnmf {
  static constexpr const char* name = "adadelta_nnmf";
  static constexpr int states = 4, scalars = 3;
  static constexpr int slot_count = 12;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // v_row
    {Shape::col, Op::none},  // v_col
    {Shape::row, Op::none},  // d_row
    {Shape::col, Op::none},  // d_col
    {Shape::row, Op::mean},  // row_mean4
    {Shape::col, Op::mean},  // col_mean5
    {Shape::row, Op::mean},  // row_mean6
    {Shape::col, Op::mean},  // col_mean7
    {Shape::matrix, Op::mean},  // col_mean8
    {Shape::matrix, Op::mean},  // col_mean9
    {Shape::col, Op::none},  // col10
    {Shape::col, Op::none},  // col11
  };
  static constexpr int saved[] = {4, 10, 6, 11};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 3>;
    using uniforms = Ids<0, 2, 12, 13, 14>;
    using outputs = Ids<>;
    using sums = Ids<4, 5, 6, 7>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F v_col = s[0];
      const F d_col = s[1];
      const F v_row = k[0];
      const F d_row = k[1];
      const F rho = k[2];
      const F rate = k[3];
      const F eps = k[4];
      const F x1 = d_row * d_col;
      const F x2 = rho * (v_row * v_col) + rate * g * g;
      const F u = sqrt(x1 + eps) / sqrt(x2 + eps) * g;
      const F x4 = rho * x1 + rate * u * u;
      sum[0] = x2;
      sum[1] = x2;
      sum[2] = x4;
      sum[3] = x4;
      return u;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<4, 6>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<8, 9>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F*, F* sum) {
      const F row_mean4 = s[0];
      const F row_mean6 = s[1];
      sum[0] = row_mean4;
      sum[1] = row_mean6;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<5, 7>;
    using uniforms = Ids<8, 9>;
    using outputs = Ids<10, 11>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F col_mean5 = s[0];
      const F col_mean7 = s[1];
      const F col_mean8 = k[0];
      const F col_mean9 = k[1];
      out[0] = col_mean5 / maximum(col_mean8, F(1e-37));
      out[1] = col_mean7 / maximum(col_mean9, F(1e-37));
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

}  // namespace fusedopt
