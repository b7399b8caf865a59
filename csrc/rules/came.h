// Written by `make rules` from fusedopt/rules/came.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct came {
  static constexpr const char* name = "came_a18b31c8";
  static constexpr int states = 5, scalars = 9;
  static constexpr bool whole = false;
  static constexpr int slot_count = 20;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::none},  // x
    {Shape::col, Op::none},  // y
    {Shape::row, Op::mean},  // row_mean5
    {Shape::col, Op::mean},  // col_mean6
    {Shape::row, Op::none},  // row7
    {Shape::matrix, Op::mean},  // col_mean8
    {Shape::col, Op::none},  // col9
    {Shape::col, Op::none},  // col10
    {Shape::row, Op::none},  // row11
    {Shape::tensor, Op::mean},  // mean12
    {Shape::row, Op::mean},  // row_mean13
    {Shape::col, Op::mean},  // col_mean14
    {Shape::row, Op::none},  // row15
    {Shape::matrix, Op::mean},  // col_mean16
    {Shape::col, Op::none},  // col17
    {Shape::col, Op::none},  // col18
    {Shape::row, Op::none},  // row19
  };
  static constexpr int saved[] = {-1, 7, 9, 15, 17};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<26>;
    using outputs = Ids<>;
    using sums = Ids<5, 6>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F*, const F* k, F* sum) {
      const F eps1 = k[0];
      const F x1 = g * g + eps1;
      sum[0] = x1;
      sum[1] = x1;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 5>;
    using uniforms = Ids<22, 23>;
    using outputs = Ids<7>;
    using sums = Ids<8>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F r = s[0];
      const F row_mean5 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_r = beta2 * r + rate2 * row_mean5;
      out[0] = new_r;
      sum[0] = new_r;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<2, 6>;
    using uniforms = Ids<22, 23>;
    using outputs = Ids<9, 10>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F c = s[0];
      const F col_mean6 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_c = beta2 * c + rate2 * col_mean6;
      out[0] = new_c;
      out[1] = F(1) / sqrt(new_c);
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<7>;
    using uniforms = Ids<8>;
    using outputs = Ids<11>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F row7 = s[0];
      const F col_mean8 = k[0];
      out[0] = sqrt(col_mean8) / sqrt(row7);
    }
  };
  struct kernel4 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<10>;
    using uniforms = Ids<11>;
    using outputs = Ids<>;
    using sums = Ids<12>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F col10 = s[0];
      const F row11 = k[0];
      const F x1 = g * row11 * col10;
      sum[0] = x1 * x1;
    }
  };
  struct kernel5 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<0, 10>;
    using uniforms = Ids<20, 21, 27, 28, 11, 12>;
    using outputs = Ids<>;
    using sums = Ids<13, 14>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F m = s[0];
      const F col10 = s[1];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F eps2 = k[2];
      const F bound = k[3];
      const F row11 = k[4];
      const F mean12 = k[5];
      const F x1 = g * row11 * col10 / maximum(F(1), sqrt(mean12) / bound);
      const F new_m = beta1 * m + rate1 * x1;
      const F x3 = (x1 - new_m) * (x1 - new_m) + eps2;
      sum[0] = x3;
      sum[1] = x3;
    }
  };
  struct kernel6 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<3, 13>;
    using uniforms = Ids<24, 25>;
    using outputs = Ids<15>;
    using sums = Ids<16>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F x = s[0];
      const F row_mean13 = s[1];
      const F beta3 = k[0];
      const F rate3 = k[1];
      const F new_x = beta3 * x + rate3 * row_mean13;
      out[0] = new_x;
      sum[0] = new_x;
    }
  };
  struct kernel7 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<4, 14>;
    using uniforms = Ids<24, 25>;
    using outputs = Ids<17, 18>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F y = s[0];
      const F col_mean14 = s[1];
      const F beta3 = k[0];
      const F rate3 = k[1];
      const F new_y = beta3 * y + rate3 * col_mean14;
      out[0] = new_y;
      out[1] = F(1) / sqrt(new_y);
    }
  };
  struct kernel8 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<15>;
    using uniforms = Ids<16>;
    using outputs = Ids<19>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F row15 = s[0];
      const F col_mean16 = k[0];
      out[0] = sqrt(col_mean16) / sqrt(row15);
    }
  };
  struct kernel9 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<0, 10, 18>;
    using uniforms = Ids<20, 21, 28, 11, 12, 19>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F m = s[0];
      const F col10 = s[1];
      const F col18 = s[2];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F bound = k[2];
      const F row11 = k[3];
      const F mean12 = k[4];
      const F row19 = k[5];
      const F new_m = beta1 * m + rate1 * (g * row11 * col10 / maximum(F(1), sqrt(mean12) / bound));
      s[0] = new_m;
      return new_m * row19 * col18;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3, kernel4, kernel5, kernel6, kernel7, kernel8, kernel9>;
};

struct came_vector {
  static constexpr const char* name = "came_vector_280fb6c5";
  static constexpr int states = 2, scalars = 6;
  static constexpr bool whole = false;
  static constexpr int slot_count = 3;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::element, Op::none},  // v
    {Shape::tensor, Op::mean},  // mean2
  };
  static constexpr int saved[] = {-1, -1};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1>;
    using uniforms = Ids<5, 6, 7>;
    using outputs = Ids<>;
    using sums = Ids<2>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F v = s[0];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F eps1 = k[2];
      const F x1 = g / sqrt(beta2 * v + rate2 * (g * g + eps1));
      sum[0] = x1 * x1;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 2;
    using streams = Ids<0, 1>;
    using uniforms = Ids<3, 4, 5, 6, 7, 8, 2>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F m = s[0];
      const F v = s[1];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F beta2 = k[2];
      const F rate2 = k[3];
      const F eps1 = k[4];
      const F bound = k[5];
      const F mean2 = k[6];
      const F new_v = beta2 * v + rate2 * (g * g + eps1);
      const F u = beta1 * m + rate1 * (g / sqrt(new_v) / maximum(F(1), sqrt(mean2) / bound));
      s[0] = u;
      s[1] = new_v;
      return u;
    }
  };
  using List = Kernels<kernel0, kernel1>;
};

}  // namespace fusedopt
