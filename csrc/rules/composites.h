// Written by `make rules` from fusedopt/math.py; a test fails when the two differ.
#pragma once
#include "../math.h"

namespace fusedopt {

template <class F>
FUSEDOPT_INLINE F rsqrt(F x) {
  return F(1) / sqrt(x);
}

template <class F>
FUSEDOPT_INLINE F maximum(F a, F b) {
  return select(a > b, a, select(b >= a, b, a + b));
}

template <class F>
FUSEDOPT_INLINE F minimum(F a, F b) {
  return select(a < b, a, select(b <= a, b, a + b));
}

template <class F>
FUSEDOPT_INLINE F sign(F x) {
  return select(x > F(0), F(1), select(x < F(0), F(-1), x));
}

template <class F>
FUSEDOPT_INLINE F softplus(F x) {
  const F x1 = minimum(x, F(40)) * F(0.015625);
  const F x2 = x1 * x1;
  const F x3 = x1 * x1;
  const F x4 = x1 * x1;
  const F x5 = x1 * by_precision((F(-0.008333333333333333) * x2 + F(-0.16666666666666666)) * x2 + F(-1) + x1 * (F(0.041666666666666664) * (x1 * x1) + F(0.5)), (((F(-2.7557319223985893e-06) * x3 + F(-0.0001984126984126984)) * x3 + F(-0.008333333333333333)) * x3 + F(-0.16666666666666666)) * x3 + F(-1) + x1 * (((F(2.48015873015873e-05) * x4 + F(0.001388888888888889)) * x4 + F(0.041666666666666664)) * x4 + F(0.5)));
  const F x6 = x5 * (F(2) + x5);
  const F x7 = x6 * (F(2) + x6);
  const F x8 = x7 * (F(2) + x7);
  const F x9 = x8 * (F(2) + x8);
  const F x10 = x9 * (F(2) + x9);
  const F x11 = x10 * (F(2) + x10);
  const F x12 = (x11 + F(0.5)) / (x11 + F(3.5));
  const F x13 = x12 * x12;
  const F x14 = x13 * x13;
  const F x15 = x13 * x13;
  const F x16 = x13 * x13;
  return x + (F(0.4054651081081644) + F(2) * x12 * by_precision((F(0.1111111111111111) * x14 + F(0.2)) * x14 + F(1) + x13 * (F(0.14285714285714285) * (x13 * x13) + F(0.3333333333333333)), ((((F(0.047619047619047616) * x15 + F(0.058823529411764705)) * x15 + F(0.07692307692307693)) * x15 + F(0.1111111111111111)) * x15 + F(0.2)) * x15 + F(1) + x13 * ((((F(0.05263157894736842) * x16 + F(0.06666666666666667)) * x16 + F(0.09090909090909091)) * x16 + F(0.14285714285714285)) * x16 + F(0.3333333333333333))));
}

template <class F>
FUSEDOPT_INLINE F sigmoid(F x) {
  const F x1 = minimum(x, F(40)) * F(0.015625);
  const F x2 = x1 * x1;
  const F x3 = x1 * x1;
  const F x4 = x1 * x1;
  const F x5 = x1 * by_precision((F(-0.008333333333333333) * x2 + F(-0.16666666666666666)) * x2 + F(-1) + x1 * (F(0.041666666666666664) * (x1 * x1) + F(0.5)), (((F(-2.7557319223985893e-06) * x3 + F(-0.0001984126984126984)) * x3 + F(-0.008333333333333333)) * x3 + F(-0.16666666666666666)) * x3 + F(-1) + x1 * (((F(2.48015873015873e-05) * x4 + F(0.001388888888888889)) * x4 + F(0.041666666666666664)) * x4 + F(0.5)));
  const F x6 = x5 * (F(2) + x5);
  const F x7 = x6 * (F(2) + x6);
  const F x8 = x7 * (F(2) + x7);
  const F x9 = x8 * (F(2) + x8);
  const F x10 = x9 * (F(2) + x9);
  return F(1) / (F(2) + x10 * (F(2) + x10));
}

template <class F>
FUSEDOPT_INLINE F atan2(F y, F x) {
  const F x1 = abs(y);
  const auto x2 = x1 <= F(0.41421356237309515) * x;
  const auto x3 = x <= F(0.41421356237309515) * x1;
  const F x4 = select(x2, x, select(x3, x1, x1 + x));
  const F x5 = select(x2, x1, select(x3, -x, x1 - x)) / select(x4 > F(0), x4, F(1));
  const F x6 = x5 * x5;
  const F x7 = x6 * x6;
  const F x8 = x6 * x6;
  const F x9 = x6 * x6;
  const F x10 = x6 * x6;
  const F x11 = x5 * by_precision((((F(0.058823529411764705) * x7 + F(0.07692307692307693)) * x7 + F(0.1111111111111111)) * x7 + F(0.2)) * x7 + F(1) + x6 * (((F(-0.06666666666666667) * x8 + F(-0.09090909090909091)) * x8 + F(-0.14285714285714285)) * x8 + F(-0.3333333333333333)), ((((((((F(0.02702702702702703) * x9 + F(0.030303030303030304)) * x9 + F(0.034482758620689655)) * x9 + F(0.04)) * x9 + F(0.047619047619047616)) * x9 + F(0.058823529411764705)) * x9 + F(0.07692307692307693)) * x9 + F(0.1111111111111111)) * x9 + F(0.2)) * x9 + F(1) + x6 * (((((((((F(-0.02564102564102564) * x10 + F(-0.02857142857142857)) * x10 + F(-0.03225806451612903)) * x10 + F(-0.037037037037037035)) * x10 + F(-0.043478260869565216)) * x10 + F(-0.05263157894736842)) * x10 + F(-0.06666666666666667)) * x10 + F(-0.09090909090909091)) * x10 + F(-0.14285714285714285)) * x10 + F(-0.3333333333333333)));
  const F x12 = select(x2, x11, select(x3, F(1.5707963267948966) + x11, F(0.7853981633974483) + x11));
  return select(y < F(0), -x12, x12);
}

}  // namespace fusedopt
