// Written by `make rules` from fusedopt/rules/adafactor.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adafactor_hf {
  static constexpr const char* name = "adafactor_hf_d119a3b5";
  static constexpr int states = 2, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 11;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::mean},  // row_mean2
    {Shape::col, Op::mean},  // col_mean3
    {Shape::tensor, Op::mean},  // mean4
    {Shape::row, Op::none},  // row5
    {Shape::matrix, Op::mean},  // col_mean6
    {Shape::col, Op::none},  // col7
    {Shape::col, Op::none},  // col8
    {Shape::row, Op::none},  // row9
    {Shape::tensor, Op::mean},  // mean10
  };
  static constexpr int saved[] = {5, 7};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<13>;
    using outputs = Ids<>;
    using sums = Ids<2, 3, 4>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F*, const F* k, F* sum) {
      const F added = k[0];
      const F x1 = g * g + added;
      sum[0] = x1;
      sum[1] = x1;
      sum[2] = p * p;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<0, 2>;
    using uniforms = Ids<11, 12>;
    using outputs = Ids<5>;
    using sums = Ids<6>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F r = s[0];
      const F row_mean2 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_r = beta2 * r + rate2 * row_mean2;
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
    using streams = Ids<1, 3>;
    using uniforms = Ids<11, 12>;
    using outputs = Ids<7, 8>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F c = s[0];
      const F col_mean3 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_c = beta2 * c + rate2 * col_mean3;
      out[0] = new_c;
      out[1] = rsqrt(new_c);
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<5>;
    using uniforms = Ids<6>;
    using outputs = Ids<9>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F row5 = s[0];
      const F col_mean6 = k[0];
      out[0] = rsqrt(row5 / col_mean6);
    }
  };
  struct kernel4 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<8>;
    using uniforms = Ids<9>;
    using outputs = Ids<>;
    using sums = Ids<10>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F col8 = s[0];
      const F row9 = k[0];
      const F x1 = g * (row9 * col8);
      sum[0] = x1 * x1;
    }
  };
  struct kernel5 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<8>;
    using uniforms = Ids<16, 17, 18, 19, 20, 9, 4, 10>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F col8 = s[0];
      const F rate = k[0];
      const F eps2 = k[1];
      const F bound = k[2];
      const F scaled = k[3];
      const F decay_scaled = k[4];
      const F row9 = k[5];
      const F mean4 = k[6];
      const F mean10 = k[7];
      const F x1 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean4)), F(1));
      return x1 / maximum(F(1), sqrt(mean10) / bound) * (g * (row9 * col8)) + x1 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3, kernel4, kernel5>;
};

struct adafactor_hf_momentum {
  static constexpr const char* name = "adafactor_hf_momentum_8278da9d";
  static constexpr int states = 3, scalars = 12;
  static constexpr bool whole = false;
  static constexpr int slot_count = 12;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::mean},  // row_mean3
    {Shape::col, Op::mean},  // col_mean4
    {Shape::tensor, Op::mean},  // mean5
    {Shape::row, Op::none},  // row6
    {Shape::matrix, Op::mean},  // col_mean7
    {Shape::col, Op::none},  // col8
    {Shape::col, Op::none},  // col9
    {Shape::row, Op::none},  // row10
    {Shape::tensor, Op::mean},  // mean11
  };
  static constexpr int saved[] = {-1, 6, 8};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<16>;
    using outputs = Ids<>;
    using sums = Ids<3, 4, 5>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F*, const F* k, F* sum) {
      const F added = k[0];
      const F x1 = g * g + added;
      sum[0] = x1;
      sum[1] = x1;
      sum[2] = p * p;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 3>;
    using uniforms = Ids<14, 15>;
    using outputs = Ids<6>;
    using sums = Ids<7>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F r = s[0];
      const F row_mean3 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_r = beta2 * r + rate2 * row_mean3;
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
    using streams = Ids<2, 4>;
    using uniforms = Ids<14, 15>;
    using outputs = Ids<8, 9>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F c = s[0];
      const F col_mean4 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_c = beta2 * c + rate2 * col_mean4;
      out[0] = new_c;
      out[1] = rsqrt(new_c);
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<6>;
    using uniforms = Ids<7>;
    using outputs = Ids<10>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F row6 = s[0];
      const F col_mean7 = k[0];
      out[0] = rsqrt(row6 / col_mean7);
    }
  };
  struct kernel4 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<9>;
    using uniforms = Ids<10>;
    using outputs = Ids<>;
    using sums = Ids<11>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F col9 = s[0];
      const F row10 = k[0];
      const F x1 = g * (row10 * col9);
      sum[0] = x1 * x1;
    }
  };
  struct kernel5 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0, 9>;
    using uniforms = Ids<12, 13, 19, 20, 21, 22, 23, 10, 5, 11>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F col9 = s[1];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F rate = k[2];
      const F eps2 = k[3];
      const F bound = k[4];
      const F scaled = k[5];
      const F decay_scaled = k[6];
      const F row10 = k[7];
      const F mean5 = k[8];
      const F mean11 = k[9];
      const F x1 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean5)), F(1));
      const F new_m = beta1 * m + rate1 * (x1 / maximum(F(1), sqrt(mean11) / bound) * (g * (row10 * col9)));
      s[0] = new_m;
      return new_m + x1 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3, kernel4, kernel5>;
};

struct adafactor_late_sqrt {
  static constexpr const char* name = "adafactor_late_sqrt_acd65f83";
  static constexpr int states = 2, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 11;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::mean},  // row_mean2
    {Shape::col, Op::mean},  // col_mean3
    {Shape::tensor, Op::mean},  // mean4
    {Shape::row, Op::none},  // row5
    {Shape::matrix, Op::mean},  // col_mean6
    {Shape::col, Op::none},  // col7
    {Shape::col, Op::none},  // col8
    {Shape::row, Op::none},  // row9
    {Shape::tensor, Op::mean},  // mean10
  };
  static constexpr int saved[] = {5, 7};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<13>;
    using outputs = Ids<>;
    using sums = Ids<2, 3, 4>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F*, const F* k, F* sum) {
      const F added = k[0];
      const F x1 = g * g + added;
      sum[0] = x1;
      sum[1] = x1;
      sum[2] = p * p;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<0, 2>;
    using uniforms = Ids<11, 12>;
    using outputs = Ids<5>;
    using sums = Ids<6>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F r = s[0];
      const F row_mean2 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_r = beta2 * r + rate2 * row_mean2;
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
    using streams = Ids<1, 3>;
    using uniforms = Ids<11, 12, 15>;
    using outputs = Ids<7, 8>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F c = s[0];
      const F col_mean3 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F floor = k[2];
      const F new_c = beta2 * c + rate2 * col_mean3;
      out[0] = new_c;
      out[1] = F(1) / sqrt(maximum(new_c, floor));
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<5>;
    using uniforms = Ids<15, 6>;
    using outputs = Ids<9>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F row5 = s[0];
      const F floor = k[0];
      const F col_mean6 = k[1];
      out[0] = sqrt(col_mean6) / sqrt(maximum(row5, floor));
    }
  };
  struct kernel4 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<8>;
    using uniforms = Ids<9>;
    using outputs = Ids<>;
    using sums = Ids<10>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F col8 = s[0];
      const F row9 = k[0];
      const F x1 = g * row9 * col8;
      sum[0] = x1 * x1;
    }
  };
  struct kernel5 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<8>;
    using uniforms = Ids<16, 17, 18, 19, 20, 9, 4, 10>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F col8 = s[0];
      const F rate = k[0];
      const F eps2 = k[1];
      const F bound = k[2];
      const F scaled = k[3];
      const F decay_scaled = k[4];
      const F row9 = k[5];
      const F mean4 = k[6];
      const F mean10 = k[7];
      const F x1 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean4)), F(1));
      return x1 / maximum(F(1), sqrt(mean10) / bound) * (g * row9 * col8) + x1 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3, kernel4, kernel5>;
};

struct adafactor_late_sqrt_momentum {
  static constexpr const char* name = "adafactor_late_sqrt_momentum_79a080c0";
  static constexpr int states = 3, scalars = 12;
  static constexpr bool whole = false;
  static constexpr int slot_count = 12;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::mean},  // row_mean3
    {Shape::col, Op::mean},  // col_mean4
    {Shape::tensor, Op::mean},  // mean5
    {Shape::row, Op::none},  // row6
    {Shape::matrix, Op::mean},  // col_mean7
    {Shape::col, Op::none},  // col8
    {Shape::col, Op::none},  // col9
    {Shape::row, Op::none},  // row10
    {Shape::tensor, Op::mean},  // mean11
  };
  static constexpr int saved[] = {-1, 6, 8};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<16>;
    using outputs = Ids<>;
    using sums = Ids<3, 4, 5>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F*, const F* k, F* sum) {
      const F added = k[0];
      const F x1 = g * g + added;
      sum[0] = x1;
      sum[1] = x1;
      sum[2] = p * p;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 3>;
    using uniforms = Ids<14, 15>;
    using outputs = Ids<6>;
    using sums = Ids<7>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F r = s[0];
      const F row_mean3 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_r = beta2 * r + rate2 * row_mean3;
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
    using streams = Ids<2, 4>;
    using uniforms = Ids<14, 15, 18>;
    using outputs = Ids<8, 9>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F c = s[0];
      const F col_mean4 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F floor = k[2];
      const F new_c = beta2 * c + rate2 * col_mean4;
      out[0] = new_c;
      out[1] = F(1) / sqrt(maximum(new_c, floor));
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<6>;
    using uniforms = Ids<18, 7>;
    using outputs = Ids<10>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F row6 = s[0];
      const F floor = k[0];
      const F col_mean7 = k[1];
      out[0] = sqrt(col_mean7) / sqrt(maximum(row6, floor));
    }
  };
  struct kernel4 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<9>;
    using uniforms = Ids<10>;
    using outputs = Ids<>;
    using sums = Ids<11>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F col9 = s[0];
      const F row10 = k[0];
      const F x1 = g * row10 * col9;
      sum[0] = x1 * x1;
    }
  };
  struct kernel5 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0, 9>;
    using uniforms = Ids<12, 13, 19, 20, 21, 22, 23, 10, 5, 11>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F col9 = s[1];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F rate = k[2];
      const F eps2 = k[3];
      const F bound = k[4];
      const F scaled = k[5];
      const F decay_scaled = k[6];
      const F row10 = k[7];
      const F mean5 = k[8];
      const F mean11 = k[9];
      const F x1 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean5)), F(1));
      const F new_m = beta1 * m + rate1 * (x1 / maximum(F(1), sqrt(mean11) / bound) * (g * row10 * col9));
      s[0] = new_m;
      return new_m + x1 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3, kernel4, kernel5>;
};

struct adafactor_torch {
  static constexpr const char* name = "adafactor_torch_df957d47";
  static constexpr int states = 2, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 9;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::mean},  // row_mean2
    {Shape::col, Op::mean},  // col_mean3
    {Shape::tensor, Op::mean},  // mean4
    {Shape::row, Op::none},  // row5
    {Shape::matrix, Op::mean},  // col_mean6
    {Shape::col, Op::none},  // col7
    {Shape::tensor, Op::mean},  // mean8
  };
  static constexpr int saved[] = {5, 7};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<11>;
    using outputs = Ids<>;
    using sums = Ids<2, 3, 4>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F*, const F* k, F* sum) {
      const F added = k[0];
      const F x1 = g * g + added;
      sum[0] = x1;
      sum[1] = x1;
      sum[2] = p * p;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<0, 2>;
    using uniforms = Ids<9, 10>;
    using outputs = Ids<5>;
    using sums = Ids<6>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F r = s[0];
      const F row_mean2 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_r = beta2 * r + rate2 * row_mean2;
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
    using streams = Ids<1, 3>;
    using uniforms = Ids<9, 10>;
    using outputs = Ids<7>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F c = s[0];
      const F col_mean3 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      out[0] = beta2 * c + rate2 * col_mean3;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<7>;
    using uniforms = Ids<12, 13, 5, 6>;
    using outputs = Ids<>;
    using sums = Ids<8>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F col7 = s[0];
      const F eps1 = k[0];
      const F floor = k[1];
      const F row5 = k[2];
      const F col_mean6 = k[3];
      const F x1 = g * rsqrt(maximum(row5 * col7 / maximum(col_mean6, eps1), floor));
      sum[0] = x1 * x1;
    }
  };
  struct kernel4 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<7>;
    using uniforms = Ids<12, 13, 14, 15, 16, 17, 18, 5, 6, 4, 8>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F col7 = s[0];
      const F eps1 = k[0];
      const F floor = k[1];
      const F rate = k[2];
      const F eps2 = k[3];
      const F bound = k[4];
      const F scaled = k[5];
      const F decay_scaled = k[6];
      const F row5 = k[7];
      const F col_mean6 = k[8];
      const F mean4 = k[9];
      const F mean8 = k[10];
      const F x1 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean4)), F(1));
      return x1 / maximum(F(1), sqrt(mean8) / bound) * (g * rsqrt(maximum(row5 * col7 / maximum(col_mean6, eps1), floor))) + x1 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3, kernel4>;
};

struct adafactor_torch_momentum {
  static constexpr const char* name = "adafactor_torch_momentum_2e1c7895";
  static constexpr int states = 3, scalars = 12;
  static constexpr bool whole = false;
  static constexpr int slot_count = 10;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::row, Op::none},  // r
    {Shape::col, Op::none},  // c
    {Shape::row, Op::mean},  // row_mean3
    {Shape::col, Op::mean},  // col_mean4
    {Shape::tensor, Op::mean},  // mean5
    {Shape::row, Op::none},  // row6
    {Shape::matrix, Op::mean},  // col_mean7
    {Shape::col, Op::none},  // col8
    {Shape::tensor, Op::mean},  // mean9
  };
  static constexpr int saved[] = {-1, 6, 8};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<14>;
    using outputs = Ids<>;
    using sums = Ids<3, 4, 5>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F*, const F* k, F* sum) {
      const F added = k[0];
      const F x1 = g * g + added;
      sum[0] = x1;
      sum[1] = x1;
      sum[2] = p * p;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1, 3>;
    using uniforms = Ids<12, 13>;
    using outputs = Ids<6>;
    using sums = Ids<7>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F* sum) {
      const F r = s[0];
      const F row_mean3 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F new_r = beta2 * r + rate2 * row_mean3;
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
    using streams = Ids<2, 4>;
    using uniforms = Ids<12, 13>;
    using outputs = Ids<8>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F c = s[0];
      const F col_mean4 = s[1];
      const F beta2 = k[0];
      const F rate2 = k[1];
      out[0] = beta2 * c + rate2 * col_mean4;
    }
  };
  struct kernel3 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<8>;
    using uniforms = Ids<15, 16, 6, 7>;
    using outputs = Ids<>;
    using sums = Ids<9>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F col8 = s[0];
      const F eps1 = k[0];
      const F floor = k[1];
      const F row6 = k[2];
      const F col_mean7 = k[3];
      const F x1 = g * rsqrt(maximum(row6 * col8 / maximum(col_mean7, eps1), floor));
      sum[0] = x1 * x1;
    }
  };
  struct kernel4 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0, 8>;
    using uniforms = Ids<10, 11, 15, 16, 17, 18, 19, 20, 21, 6, 7, 5, 9>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F col8 = s[1];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F eps1 = k[2];
      const F floor = k[3];
      const F rate = k[4];
      const F eps2 = k[5];
      const F bound = k[6];
      const F scaled = k[7];
      const F decay_scaled = k[8];
      const F row6 = k[9];
      const F col_mean7 = k[10];
      const F mean5 = k[11];
      const F mean9 = k[12];
      const F x1 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean5)), F(1));
      const F new_m = beta1 * m + rate1 * (x1 / maximum(F(1), sqrt(mean9) / bound) * (g * rsqrt(maximum(row6 * col8 / maximum(col_mean7, eps1), floor))));
      s[0] = new_m;
      return new_m + x1 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2, kernel3, kernel4>;
};

struct adafactor_vector {
  static constexpr const char* name = "adafactor_vector_6c840b5e";
  static constexpr int states = 1, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 3;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // v
    {Shape::tensor, Op::mean},  // mean1
    {Shape::tensor, Op::mean},  // mean2
  };
  static constexpr int saved[] = {-1};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<0>;
    using uniforms = Ids<3, 4, 5, 7>;
    using outputs = Ids<>;
    using sums = Ids<1, 2>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F* s, const F* k, F* sum) {
      const F v = s[0];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F added = k[2];
      const F floor = k[3];
      const F x1 = g / sqrt(maximum(beta2 * v + rate2 * (g * g + added), floor));
      sum[0] = p * p;
      sum[1] = x1 * x1;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<3, 4, 5, 7, 8, 9, 10, 11, 12, 1, 2>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F v = s[0];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F added = k[2];
      const F floor = k[3];
      const F rate = k[4];
      const F eps2 = k[5];
      const F bound = k[6];
      const F scaled = k[7];
      const F decay_scaled = k[8];
      const F mean1 = k[9];
      const F mean2 = k[10];
      const F new_v = beta2 * v + rate2 * (g * g + added);
      const F x2 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean1)), F(1));
      s[0] = new_v;
      return x2 / maximum(F(1), sqrt(mean2) / bound) * (g / sqrt(maximum(new_v, floor))) + x2 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1>;
};

struct adafactor_vector_momentum {
  static constexpr const char* name = "adafactor_vector_momentum_266ca29a";
  static constexpr int states = 2, scalars = 12;
  static constexpr bool whole = false;
  static constexpr int slot_count = 4;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::element, Op::none},  // v
    {Shape::tensor, Op::mean},  // mean2
    {Shape::tensor, Op::mean},  // mean3
  };
  static constexpr int saved[] = {-1, -1};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<1>;
    using uniforms = Ids<6, 7, 8, 10>;
    using outputs = Ids<>;
    using sums = Ids<2, 3>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F* s, const F* k, F* sum) {
      const F v = s[0];
      const F beta2 = k[0];
      const F rate2 = k[1];
      const F added = k[2];
      const F floor = k[3];
      const F x1 = g / sqrt(maximum(beta2 * v + rate2 * (g * g + added), floor));
      sum[0] = p * p;
      sum[1] = x1 * x1;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 2;
    using streams = Ids<0, 1>;
    using uniforms = Ids<4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 2, 3>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F v = s[1];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F beta2 = k[2];
      const F rate2 = k[3];
      const F added = k[4];
      const F floor = k[5];
      const F rate = k[6];
      const F eps2 = k[7];
      const F bound = k[8];
      const F scaled = k[9];
      const F decay_scaled = k[10];
      const F mean2 = k[11];
      const F mean3 = k[12];
      const F new_v = beta2 * v + rate2 * (g * g + added);
      const F x2 = rate * select(scaled > F(0), maximum(eps2, sqrt(mean2)), F(1));
      const F new_m = beta1 * m + rate1 * (x2 / maximum(F(1), sqrt(mean3) / bound) * (g / sqrt(maximum(new_v, floor))));
      s[0] = new_m;
      s[1] = new_v;
      return new_m + x2 * decay_scaled * p;
    }
  };
  using List = Kernels<kernel0, kernel1>;
};

}  // namespace fusedopt
