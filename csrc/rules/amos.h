// Written by `make rules` from fusedopt/rules/amos.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct amos {
  static constexpr const char* name = "amos_40919c9e";
  static constexpr int states = 2, scalars = 11;
  static constexpr bool whole = false;
  static constexpr int slot_count = 5;
  static constexpr Slot slots[] = {
    {Shape::tensor, Op::none},  // v
    {Shape::tensor, Op::none},  // b
    {Shape::tensor, Op::mean},  // mean2
    {Shape::tensor, Op::none},  // tensor3
    {Shape::tensor, Op::none},  // tensor4
  };
  static constexpr int saved[] = {3, 4};  // slots of the new states
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
    using uniforms = Ids<0, 5, 6, 2>;
    using outputs = Ids<3>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F v = k[0];
      const F beta = k[1];
      const F rate = k[2];
      const F mean2 = k[3];
      out[0] = beta * v + rate * mean2;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 3>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F*, const F* k, F*) {
      const F b = k[0];
      const F debias = k[1];
      const F xi = k[2];
      const F eta = k[3];
      const F root_xi = k[4];
      const F root_eta = k[5];
      const F c_coef = k[6];
      const F d_coef = k[7];
      const F extra_l2 = k[8];
      const F eps = k[9];
      const F mean2 = k[10];
      const F tensor3 = k[11];
      const F x1 = debias / maximum(tensor3, eps);
      const F x2 = F(1) / (F(1) + d_coef * (root_xi * root_eta) * b);
      return x2 * (xi * eta) * sqrt(x1) * g + x2 * (xi * xi * x1 * mean2 / sqrt(F(1) + c_coef * root_xi * b) / F(2) + extra_l2) * p;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::tensor;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<1, 7, 8, 10, 12, 15, 2, 3>;
    using outputs = Ids<4>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F b = k[0];
      const F debias = k[1];
      const F xi = k[2];
      const F root_xi = k[3];
      const F c_coef = k[4];
      const F eps = k[5];
      const F mean2 = k[6];
      const F tensor3 = k[7];
      out[0] = b + xi * xi * (debias / maximum(tensor3, eps)) * mean2 / sqrt(F(1) + c_coef * root_xi * b) * (F(1) + b);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3>;
};

struct amos_momentum {
  static constexpr const char* name = "amos_momentum_5c9b6c50";
  static constexpr int states = 3, scalars = 13;
  static constexpr bool whole = false;
  static constexpr int slot_count = 6;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::tensor, Op::none},  // v
    {Shape::tensor, Op::none},  // b
    {Shape::tensor, Op::mean},  // mean3
    {Shape::tensor, Op::none},  // tensor4
    {Shape::tensor, Op::none},  // tensor5
  };
  static constexpr int saved[] = {-1, 4, 5};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<3>;
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
    using uniforms = Ids<1, 6, 7, 3>;
    using outputs = Ids<4>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F v = k[0];
      const F beta = k[1];
      const F rate = k[2];
      const F mean3 = k[3];
      out[0] = beta * v + rate * mean3;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<2, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 3, 4>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F b = k[0];
      const F debias = k[1];
      const F xi = k[2];
      const F eta = k[3];
      const F root_xi = k[4];
      const F root_eta = k[5];
      const F c_coef = k[6];
      const F d_coef = k[7];
      const F extra_l2 = k[8];
      const F eps = k[9];
      const F beta1 = k[10];
      const F rate1 = k[11];
      const F mean3 = k[12];
      const F tensor4 = k[13];
      const F x1 = debias / maximum(tensor4, eps);
      const F x2 = F(1) / (F(1) + d_coef * (root_xi * root_eta) * b);
      const F u = beta1 * m + rate1 * (x2 * (xi * eta) * sqrt(x1) * g + x2 * (xi * xi * x1 * mean3 / sqrt(F(1) + c_coef * root_xi * b) / F(2) + extra_l2) * p);
      s[0] = u;
      return u;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::tensor;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<2, 8, 9, 11, 13, 16, 3, 4>;
    using outputs = Ids<5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F b = k[0];
      const F debias = k[1];
      const F xi = k[2];
      const F root_xi = k[3];
      const F c_coef = k[4];
      const F eps = k[5];
      const F mean3 = k[6];
      const F tensor4 = k[7];
      out[0] = b + xi * xi * (debias / maximum(tensor4, eps)) * mean3 / sqrt(F(1) + c_coef * root_xi * b) * (F(1) + b);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3>;
};

struct amos_rows {
  static constexpr const char* name = "amos_rows_40074691";
  static constexpr int states = 2, scalars = 11;
  static constexpr bool whole = false;
  static constexpr int slot_count = 7;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // v
    {Shape::row, Op::none},  // b
    {Shape::row, Op::mean},  // row_mean2
    {Shape::row, Op::none},  // row3
    {Shape::row, Op::none},  // row4
    {Shape::row, Op::none},  // row5
    {Shape::row, Op::none},  // row6
  };
  static constexpr int saved[] = {3, 6};  // slots of the new states
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
    using streams = Ids<0, 1, 2>;
    using uniforms = Ids<7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17>;
    using outputs = Ids<3, 4, 5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F v = s[0];
      const F b = s[1];
      const F row_mean2 = s[2];
      const F beta = k[0];
      const F rate = k[1];
      const F debias = k[2];
      const F xi = k[3];
      const F eta = k[4];
      const F root_xi = k[5];
      const F root_eta = k[6];
      const F c_coef = k[7];
      const F d_coef = k[8];
      const F extra_l2 = k[9];
      const F eps = k[10];
      const F new_v = beta * v + rate * row_mean2;
      const F x2 = debias / maximum(new_v, eps);
      const F x3 = F(1) / (F(1) + d_coef * (root_xi * root_eta) * b);
      out[0] = new_v;
      out[1] = x3 * (xi * eta) * sqrt(x2);
      out[2] = x3 * (xi * xi * x2 * row_mean2 / sqrt(F(1) + c_coef * root_xi * b) / F(2) + extra_l2);
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<4, 5>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F*, const F* k, F*) {
      const F row4 = k[0];
      const F row5 = k[1];
      return row4 * g + row5 * p;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 2, 3>;
    using uniforms = Ids<9, 10, 12, 14, 17>;
    using outputs = Ids<6>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F b = s[0];
      const F row_mean2 = s[1];
      const F row3 = s[2];
      const F debias = k[0];
      const F xi = k[1];
      const F root_xi = k[2];
      const F c_coef = k[3];
      const F eps = k[4];
      out[0] = b + xi * xi * (debias / maximum(row3, eps)) * row_mean2 / sqrt(F(1) + c_coef * root_xi * b) * (F(1) + b);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3>;
};

struct amos_rows_momentum {
  static constexpr const char* name = "amos_rows_momentum_6e2bca6b";
  static constexpr int states = 3, scalars = 13;
  static constexpr bool whole = false;
  static constexpr int slot_count = 8;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // v
    {Shape::row, Op::none},  // b
    {Shape::row, Op::mean},  // row_mean3
    {Shape::row, Op::none},  // row4
    {Shape::row, Op::none},  // row5
    {Shape::row, Op::none},  // row6
    {Shape::row, Op::none},  // row7
  };
  static constexpr int saved[] = {-1, 4, 7};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<3>;
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
    using streams = Ids<1, 2, 3>;
    using uniforms = Ids<8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18>;
    using outputs = Ids<4, 5, 6>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F v = s[0];
      const F b = s[1];
      const F row_mean3 = s[2];
      const F beta = k[0];
      const F rate = k[1];
      const F debias = k[2];
      const F xi = k[3];
      const F eta = k[4];
      const F root_xi = k[5];
      const F root_eta = k[6];
      const F c_coef = k[7];
      const F d_coef = k[8];
      const F extra_l2 = k[9];
      const F eps = k[10];
      const F new_v = beta * v + rate * row_mean3;
      const F x2 = debias / maximum(new_v, eps);
      const F x3 = F(1) / (F(1) + d_coef * (root_xi * root_eta) * b);
      out[0] = new_v;
      out[1] = x3 * (xi * eta) * sqrt(x2);
      out[2] = x3 * (xi * xi * x2 * row_mean3 / sqrt(F(1) + c_coef * root_xi * b) / F(2) + extra_l2);
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<19, 20, 5, 6>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F row5 = k[2];
      const F row6 = k[3];
      const F u = beta1 * m + rate1 * (row5 * g + row6 * p);
      s[0] = u;
      return u;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<2, 3, 4>;
    using uniforms = Ids<10, 11, 13, 15, 18>;
    using outputs = Ids<7>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F b = s[0];
      const F row_mean3 = s[1];
      const F row4 = s[2];
      const F debias = k[0];
      const F xi = k[1];
      const F root_xi = k[2];
      const F c_coef = k[3];
      const F eps = k[4];
      out[0] = b + xi * xi * (debias / maximum(row4, eps)) * row_mean3 / sqrt(F(1) + c_coef * root_xi * b) * (F(1) + b);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3>;
};

}  // namespace fusedopt
