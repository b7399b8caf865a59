// Written by `make rules` from fusedopt/rules/nsgda.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct nsgda {
  static constexpr const char* name = "nsgda_1b5020a6";
  static constexpr int states = 1, scalars = 5;
  static constexpr bool whole = false;
  static constexpr int slot_count = 2;
  static constexpr Slot slots[] = {
    {Shape::element, Op::none},  // m
    {Shape::tensor, Op::mean},  // mean1
  };
  static constexpr int saved[] = {-1};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = false;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<0>;
    using uniforms = Ids<2, 3, 4>;
    using outputs = Ids<>;
    using sums = Ids<1>;
    template <class F>
    FUSEDOPT_INLINE static void update(F g, F, F* s, const F* k, F* sum) {
      const F m = s[0];
      const F beta = k[0];
      const F rate = k[1];
      const F debias = k[2];
      const F x1 = debias * (beta * m + rate * g);
      sum[0] = x1 * x1;
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 1;
    using streams = Ids<0>;
    using uniforms = Ids<2, 3, 4, 5, 6, 1>;
    using outputs = Ids<>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F*) {
      const F m = s[0];
      const F beta = k[0];
      const F rate = k[1];
      const F debias = k[2];
      const F eps = k[3];
      const F root_size = k[4];
      const F mean1 = k[5];
      const F new_m = beta * m + rate * g;
      s[0] = new_m;
      return debias * new_m / (root_size * sqrt(mean1) + eps);
    }
  };
  using List = Kernels<kernel0, kernel1>;
};

}  // namespace fusedopt
