// Written by `make rules` from fusedopt/rules/adaptive_memory.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct am_adamw {
  static constexpr const char* name = "am_adamw_982ca13c";
  static constexpr int states = 3, scalars = 9;
  static constexpr bool whole = false;
  static constexpr int slot_count = 6;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // d
    {Shape::element, Op::none},  // v
    {Shape::tensor, Op::none},  // product
    {Shape::tensor, Op::mean},  // mean3
    {Shape::tensor, Op::mean},  // mean4
    {Shape::tensor, Op::none},  // tensor5
  };
  static constexpr int saved[] = {-1, -1, 5};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 0;
    using streams = Ids<0, 1>;
    using uniforms = Ids<2, 6, 8, 9, 10, 11, 12, 13, 14>;
    using outputs = Ids<>;
    using sums = Ids<3, 4>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F* s, const F* k, F* sum) {
      const F d = s[0];
      const F v = s[1];
      const F product = k[0];
      const F most = k[1];
      const F memory = k[2];
      const F beta2 = k[3];
      const F rate2 = k[4];
      const F root_debias2 = k[5];
      const F eps = k[6];
      const F shrink = k[7];
      const F growth = k[8];
      const F x1 = (F(1) - most * product) * (root_debias2 * sqrt(beta2 * v + rate2 * g * g) + eps);
      const F x2 = d - g;
      const F x3 = x2 / (x1 * (F(1) + memory * x1));
      sum[0] = growth * g * (d / x1 + shrink * p) - x3 * (g + memory * x1 * d) - shrink * p * x2;
      sum[1] = x3 * x2;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 2;
    using streams = Ids<0, 1>;
    using uniforms = Ids<2, 6, 7, 8, 9, 10, 11, 12, 3, 4>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F d = s[0];
      const F v = s[1];
      const F product = k[0];
      const F most = k[1];
      const F least = k[2];
      const F memory = k[3];
      const F beta2 = k[4];
      const F rate2 = k[5];
      const F root_debias2 = k[6];
      const F eps = k[7];
      const F mean3 = k[8];
      const F mean4 = k[9];
      const F new_v = beta2 * v + rate2 * g * g;
      const F x2 = (F(1) - most * product) * (root_debias2 * sqrt(new_v) + eps);
      const F x3 = select(mean4 > F(0), mean3 / mean4, F(0));
      const F x4 = select(x3 > least, select(x3 < most, x3, most), least);
      const F new_d = ((F(1) - x4) * g + (memory * x2 + x4) * d) / (F(1) + memory * x2);
      s[0] = new_d;
      s[1] = new_v;
      return new_d / x2;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::tensor;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<>;
    using uniforms = Ids<2, 6, 7, 3, 4>;
    using outputs = Ids<5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F product = k[0];
      const F most = k[1];
      const F least = k[2];
      const F mean3 = k[3];
      const F mean4 = k[4];
      const F x1 = select(mean4 > F(0), mean3 / mean4, F(0));
      out[0] = product * select(x1 > least, select(x1 < most, x1, most), least);
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct am_sgd {
  static constexpr const char* name = "am_sgd_f901fc16";
  static constexpr int states = 1, scalars = 3;
  static constexpr bool whole = false;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F d = s[0];
    const F beta = k[0];
    const F memory = k[1];
    const F first = k[2];
    const F u = ((beta + memory) * select(first > F(0), g, d) + (F(1) - beta) * g) / (F(1) + memory);
    s[0] = u;
    return u;
  }
};

struct am_sgd_per_tensor {
  static constexpr const char* name = "am_sgd_per_tensor_1d18f3b2";
  static constexpr int states = 1, scalars = 3;
  static constexpr bool whole = false;
  static constexpr int slot_count = 3;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // d
    {Shape::tensor, Op::mean},  // mean1
    {Shape::tensor, Op::mean},  // mean2
  };
  static constexpr int saved[] = {-1};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<0>;
    using uniforms = Ids<4, 5>;
    using outputs = Ids<>;
    using sums = Ids<1, 2>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F d = s[0];
      const F memory = k[0];
      const F first = k[1];
      const F x1 = select(first > F(0), g, d);
      sum[0] = g * g + memory * x1 * (F(2) * g - x1);
      sum[1] = (x1 - g) * (x1 - g);
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<3, 4, 5, 1, 2>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F d = s[0];
      const F most = k[0];
      const F memory = k[1];
      const F first = k[2];
      const F mean1 = k[3];
      const F mean2 = k[4];
      const F x1 = select(mean2 > F(0), mean1 / mean2, F(0));
      const F x2 = select(x1 > F(0), select(x1 < most, x1, most), F(0));
      const F u = ((x2 + memory) * select(first > F(0), g, d) + (F(1) - x2) * g) / (F(1) + memory);
      s[0] = u;
      return u;
    }
  };
  using List = Kernels<kernel0, kernel1>;
};

}  // namespace fusedopt
