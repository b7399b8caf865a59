// Written by `make rules` from fusedopt/rules/adagrad.py; a test fails when the two differ.
#pragma once
#include "../stages.h"
#include "composites.h"

namespace fusedopt {

struct adagrad {
  static constexpr const char* name = "adagrad";
  static constexpr int states = 1, scalars = 1;
  template <class F>
  FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k) {
    const F total = s[0];
    const F eps = k[0];
    const F new_total = total + g * g;
    s[0] = new_total;
    return g / (sqrt(new_total) + eps);
  }
};

struct adagrad_nnmf {
  static constexpr const char* name = "adagrad_nnmf";
  static constexpr int states = 2, scalars = 1;
  static constexpr int slot_count = 6;
  static constexpr Slot slots[] = {
    {Shape::row, Op::none},  // total_row
    {Shape::col, Op::none},  // total_col
    {Shape::row, Op::mean},  // row_mean2
    {Shape::col, Op::mean},  // col_mean3
    {Shape::matrix, Op::mean},  // col_mean4
    {Shape::col, Op::none},  // col5
  };
  static constexpr int saved[] = {2, 5};  // slots of the new states
  struct kernel0 {
    static constexpr Shape domain = Shape::element;
    static constexpr bool commits = true;
    static constexpr bool reads_g = true;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<1>;
    using uniforms = Ids<0, 6>;
    using outputs = Ids<>;
    using sums = Ids<2, 3>;
    template <class F>
    FUSEDOPT_INLINE static F update(F g, F, F* s, const F* k, F* sum) {
      const F total_col = s[0];
      const F total_row = k[0];
      const F eps = k[1];
      const F x1 = total_row * total_col + g * g;
      sum[0] = x1;
      sum[1] = x1;
      return g / (sqrt(x1) + eps);
    }
  };
  struct kernel1 {
    static constexpr Shape domain = Shape::row;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<2>;
    using uniforms = Ids<>;
    using outputs = Ids<>;
    using sums = Ids<4>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F*, F*, F* sum) {
      const F row_mean2 = s[0];
      sum[0] = row_mean2;
    }
  };
  struct kernel2 {
    static constexpr Shape domain = Shape::col;
    static constexpr bool commits = false;
    static constexpr bool reads_g = false;
    static constexpr bool reads_p = false;
    static constexpr int written = 0;
    using streams = Ids<3>;
    using uniforms = Ids<4>;
    using outputs = Ids<5>;
    using sums = Ids<>;
    template <class F>
    FUSEDOPT_INLINE static void update(const F* s, const F* k, F* out, F*) {
      const F col_mean3 = s[0];
      const F col_mean4 = k[0];
      out[0] = col_mean3 / maximum(col_mean4, F(1e-37));
    }
  };
  using List = Kernels<kernel0, kernel1, kernel2>;
};

}  // namespace fusedopt
