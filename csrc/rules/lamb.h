// Written by `make rules` from fusedopt/rules/lamb.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct lamb {
  static constexpr const char* name = "lamb_4d9372ee";
  static constexpr int states = 2, scalars = 11;
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
    using streams = Ids<0, 1>;
    using uniforms = Ids<4, 5, 6, 7, 8, 9, 10, 11>;
    using outputs = Ids<>;
    using sums = Ids<2, 3>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F p, F* s, const F* k, F* sum) {
      const F m = s[0];
      const F v = s[1];
      const F beta1 = k[0];
      const F rate1 = k[1];
      const F beta2 = k[2];
      const F rate2 = k[3];
      const F debias1 = k[4];
      const F root_debias2 = k[5];
      const F eps = k[6];
      const F shrink = k[7];
      const F x1 = debias1 * (beta1 * m + rate1 * g) / (root_debias2 * sqrt(beta2 * v + rate2 * g * g) + eps) + shrink * p;
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
    using uniforms = Ids<4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 2, 3>;
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
      const F debias1 = k[4];
      const F root_debias2 = k[5];
      const F eps = k[6];
      const F shrink = k[7];
      const F lowest = k[8];
      const F highest = k[9];
      const F limit = k[10];
      const F mean2 = k[11];
      const F mean3 = k[12];
      const F new_m = beta1 * m + rate1 * g;
      const F new_v = beta2 * v + rate2 * g * g;
      const F x3 = sqrt(mean2);
      const F x4 = sqrt(mean3);
      s[0] = new_m;
      s[1] = new_v;
      return select(x3 > F(0), select(x4 > F(0), minimum(minimum(maximum(x3, lowest), highest) / x4, limit), F(1)), F(1)) * (debias1 * new_m / (root_debias2 * sqrt(new_v) + eps) + shrink * p);
    }
  };
  using List = Kernels<kernel0, kernel1>;
};

}  // namespace fusedopt
