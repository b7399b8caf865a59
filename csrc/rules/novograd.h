// Written by `make rules` from fusedopt/rules/novograd.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct novograd {
  static constexpr const char* name = "novograd_7aefa8bd";
  static constexpr int states = 2, scalars = 8;
  static constexpr bool whole = false;
  static constexpr int slot_count = 4;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::tensor, Op::none},  // v
    {Shape::tensor, Op::mean},  // mean2
    {Shape::tensor, Op::none},  // tensor3
  };
  static constexpr int saved[] = {-1, 3};  // slots of the new states
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
    using uniforms = Ids<1, 6, 7, 11, 2>;
    using outputs = Ids<3>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F v = k[0];
      const F beta2 = k[1];
      const F rate2 = k[2];
      const F size = k[3];
      const F mean2 = k[4];
      const F x1 = size * mean2;
      out[0] = select(v > F(0), beta2 * v + rate2 * x1, x1);
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<4, 5, 8, 9, 10, 3>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F debias1 = k[2];
      const F eps = k[3];
      const F shrink = k[4];
      const F tensor3 = k[5];
      const F new_m = beta1 * m + rate1 * (g / (sqrt(tensor3) + eps) + shrink * p);
      s[0] = new_m;
      return debias1 * new_m;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

struct novograd_amsgrad {
  static constexpr const char* name = "novograd_amsgrad_f62be9be";
  static constexpr int states = 3, scalars = 8;
  static constexpr bool whole = false;
  static constexpr int slot_count = 6;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::tensor, Op::none},  // v
    {Shape::tensor, Op::none},  // v_max
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
    using uniforms = Ids<1, 2, 8, 9, 13, 3>;
    using outputs = Ids<4, 5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F*, const F* k, F* out, F*) {
      const F v = k[0];
      const F v_max = k[1];
      const F beta2 = k[2];
      const F rate2 = k[3];
      const F size = k[4];
      const F mean3 = k[5];
      const F x1 = size * mean3;
      const F new_v = select(v > F(0), beta2 * v + rate2 * x1, x1);
      out[0] = new_v;
      out[1] = maximum(v_max, new_v);
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = true;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<6, 7, 10, 11, 12, 5>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k, F*) {
      const F m = s[0];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F debias1 = k[2];
      const F eps = k[3];
      const F shrink = k[4];
      const F tensor5 = k[5];
      const F new_m = beta1 * m + rate1 * (g / (sqrt(tensor5) + eps) + shrink * p);
      s[0] = new_m;
      return debias1 * new_m;
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

}  // namespace fusedopt
