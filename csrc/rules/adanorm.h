// Written by `make rules` from fusedopt/rules/adanorm.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adabeliefnorm {
  static constexpr const char* name = "adabeliefnorm_d2c9fa0b";
  static constexpr int states = 3, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 5;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::element, Op::none},  // v
    {Shape::tensor, Op::none},  // e
    {Shape::tensor, Op::mean},  // mean3
    {Shape::tensor, Op::none},  // tensor4
  };
  static constexpr int saved[] = {-1, -1, 4};  // slots of the new states
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
    using uniforms = Ids<2, 9, 10, 14, 3>;
    using outputs = Ids<4>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F e = k[0];
      const F gamma = k[1];
      const F rate3 = k[2];
      const F root_size = k[3];
      const F mean3 = k[4];
      out[0] = gamma * e + rate3 * (root_size * sqrt(mean3));
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 2;
    using streams = Ids<0, 1>;
    using uniforms = Ids<5, 6, 7, 8, 11, 12, 13, 14, 3, 4>;
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
      const F debias1 = k[4];
      const F root_debias2 = k[5];
      const F eps = k[6];
      const F root_size = k[7];
      const F mean3 = k[8];
      const F tensor4 = k[9];
      const F x1 = root_size * sqrt(mean3);
      const F x2 = select(tensor4 > x1, tensor4 / select(x1 > F(0), x1, F(1)), F(1)) * g;
      const F new_m = beta1 * m + rate1 * x2;
      const F new_v = beta2 * v + rate2 * (x2 - new_m) * (x2 - new_m) + eps;
      s[0] = new_m;
      s[1] = new_v;
      return debias1 * new_m / (root_debias2 * sqrt(new_v) + eps);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct adamnorm {
  static constexpr const char* name = "adamnorm_43d27d0e";
  static constexpr int states = 3, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 5;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::element, Op::none},  // v
    {Shape::tensor, Op::none},  // e
    {Shape::tensor, Op::mean},  // mean3
    {Shape::tensor, Op::none},  // tensor4
  };
  static constexpr int saved[] = {-1, -1, 4};  // slots of the new states
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
    using uniforms = Ids<2, 9, 10, 14, 3>;
    using outputs = Ids<4>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F e = k[0];
      const F gamma = k[1];
      const F rate3 = k[2];
      const F root_size = k[3];
      const F mean3 = k[4];
      out[0] = gamma * e + rate3 * (root_size * sqrt(mean3));
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 2;
    using streams = Ids<0, 1>;
    using uniforms = Ids<5, 6, 7, 8, 11, 12, 13, 14, 3, 4>;
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
      const F debias1 = k[4];
      const F root_debias2 = k[5];
      const F eps = k[6];
      const F root_size = k[7];
      const F mean3 = k[8];
      const F tensor4 = k[9];
      const F x1 = root_size * sqrt(mean3);
      const F new_m = beta1 * m + rate1 * (select(tensor4 > x1, tensor4 / select(x1 > F(0), x1, F(1)), F(1)) * g);
      const F new_v = beta2 * v + rate2 * g * g;
      s[0] = new_m;
      s[1] = new_v;
      return debias1 * new_m / (root_debias2 * sqrt(new_v) + eps);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct diffgradnorm {
  static constexpr const char* name = "diffgradnorm_eca08ce2";
  static constexpr int states = 4, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 6;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::element, Op::none},  // v
    {Shape::element, Op::none},  // previous
    {Shape::tensor, Op::none},  // e
    {Shape::tensor, Op::mean},  // mean4
    {Shape::tensor, Op::none},  // tensor5
  };
  static constexpr int saved[] = {-1, -1, -1, 5};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<4>;
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
    using uniforms = Ids<3, 10, 11, 15, 4>;
    using outputs = Ids<5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F e = k[0];
      const F gamma = k[1];
      const F rate3 = k[2];
      const F root_size = k[3];
      const F mean4 = k[4];
      out[0] = gamma * e + rate3 * (root_size * sqrt(mean4));
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 3;
    using streams = Ids<0, 1, 2>;
    using uniforms = Ids<6, 7, 8, 9, 12, 13, 14, 15, 4, 5>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F m = s[0];
      const F v = s[1];
      const F previous = s[2];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F beta2 = k[2];
      const F rate2 = k[3];
      const F debias1 = k[4];
      const F root_debias2 = k[5];
      const F eps = k[6];
      const F root_size = k[7];
      const F mean4 = k[8];
      const F tensor5 = k[9];
      const F x1 = root_size * sqrt(mean4);
      const F new_m = beta1 * m + rate1 * (select(tensor5 > x1, tensor5 / select(x1 > F(0), x1, F(1)), F(1)) * g);
      const F new_v = beta2 * v + rate2 * g * g;
      s[0] = new_m;
      s[1] = new_v;
      s[2] = g;
      return sigmoid(abs(previous - g)) * (debias1 * new_m / (root_debias2 * (sqrt(new_v) + eps)));
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct radamnorm {
  static constexpr const char* name = "radamnorm_9717d0f8";
  static constexpr int states = 3, scalars = 10;
  static constexpr bool whole = false;
  static constexpr int slot_count = 5;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::element, Op::none},  // v
    {Shape::tensor, Op::none},  // e
    {Shape::tensor, Op::mean},  // mean3
    {Shape::tensor, Op::none},  // tensor4
  };
  static constexpr int saved[] = {-1, -1, 4};  // slots of the new states
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
    using uniforms = Ids<2, 9, 10, 14, 3>;
    using outputs = Ids<4>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F e = k[0];
      const F gamma = k[1];
      const F rate3 = k[2];
      const F root_size = k[3];
      const F mean3 = k[4];
      out[0] = gamma * e + rate3 * (root_size * sqrt(mean3));
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 2;
    using streams = Ids<0, 1>;
    using uniforms = Ids<5, 6, 7, 8, 11, 12, 13, 14, 3, 4>;
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
      const F debias1 = k[4];
      const F rectified = k[5];
      const F eps = k[6];
      const F root_size = k[7];
      const F mean3 = k[8];
      const F tensor4 = k[9];
      const F x1 = root_size * sqrt(mean3);
      const F new_m = beta1 * m + rate1 * (select(tensor4 > x1, tensor4 / select(x1 > F(0), x1, F(1)), F(1)) * g);
      const F new_v = beta2 * v + rate2 * g * g;
      s[0] = new_m;
      s[1] = new_v;
      return debias1 * select(rectified > F(0), rectified * new_m / (sqrt(new_v) + eps), new_m);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

}  // namespace fusedopt
