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
  const F x1 = select(x > F(17), F(17), x);
  const F x2 = x1 * x1;
  const F x3 = x1 * x1;
  const F x4 = select(x > F(40), F(40), x) * F(0.015625);
  const F x5 = x4 * x4;
  const F x6 = x5 * x5;
  const F x7 = x4 * (F(-1) + F(0.5) * x4 + (F(-0.16666666666666666) + F(0.041666666666666664) * x4) * x5 + (F(-0.008333333333333333) + F(0.001388888888888889) * x4 + (F(-0.0001984126984126984) + F(2.48015873015873e-05) * x4) * x5) * x6 + F(-2.7557319223985893e-06) * (x6 * x6));
  const F x8 = x7 * (F(2) + x7);
  const F x9 = x8 * (F(2) + x8);
  const F x10 = x9 * (F(2) + x9);
  const F x11 = x10 * (F(2) + x10);
  const F x12 = x11 * (F(2) + x11);
  const F x13 = x12 * (F(2) + x12);
  const F x14 = (x13 + F(0.5)) / (x13 + F(3.5));
  const F x15 = x14 * x14;
  const F x16 = x15 * x15;
  const F x17 = x16 * x16;
  return x + by_precision((F(0.6931471637478853) + F(-0.21384926825609826) * x1 + (F(0.02713547800842976) + F(-0.0017641608550692583) * x1) * x2 + (F(5.854762374180842e-05) + F(-7.905142466364389e-07) * x1) * (x2 * x2)) / (F(1) + F(0.41282663021774774) * x1 + (F(0.15662012708073003) + F(0.03591295834993564) * x1) * x3 + (F(0.005410164218637161) + F(0.0003440980739040397) * x1 + F(8.524765078313008e-05) * x3) * (x3 * x3)), F(0.4054651081081644) + F(2) * x14 * (F(1) + F(0.3333333333333333) * x15 + (F(0.2) + F(0.14285714285714285) * x15) * x16 + (F(0.1111111111111111) + F(0.09090909090909091) * x15 + (F(0.07692307692307693) + F(0.06666666666666667) * x15) * x16) * x17 + (F(0.058823529411764705) + F(0.05263157894736842) * x15 + F(0.047619047619047616) * x16) * (x17 * x17)));
}

template <class F>
FUSEDOPT_INLINE F sigmoid(F x) {
  const F x1 = select(x > F(17), F(17), x);
  const F x2 = x1 * x1;
  const F x3 = x2 * x2;
  const F x4 = x2 * x2;
  const F x5 = select(x > F(40), F(40), x) * F(0.015625);
  const F x6 = x5 * x5;
  const F x7 = x6 * x6;
  const F x8 = x5 * (F(-1) + F(0.5) * x5 + (F(-0.16666666666666666) + F(0.041666666666666664) * x5) * x6 + (F(-0.008333333333333333) + F(0.001388888888888889) * x5 + (F(-0.0001984126984126984) + F(2.48015873015873e-05) * x5) * x6) * x7 + F(-2.7557319223985893e-06) * (x7 * x7));
  const F x9 = x8 * (F(2) + x8);
  const F x10 = x9 * (F(2) + x9);
  const F x11 = x10 * (F(2) + x10);
  const F x12 = x11 * (F(2) + x11);
  const F x13 = x12 * (F(2) + x12);
  return by_precision(F(0.5) + x1 * (F(0.25) + F(0.008399207124051363) * x2 + (F(5.5692125850871806e-05) + F(8.496064358579175e-08) * x2) * x3 + F(1.461384844723401e-11) * (x3 * x3)) / (F(1) + F(0.11693015344098852) * x2 + (F(0.0016336185211407168) + F(5.309981628457021e-06) * x2) * x4 + F(3.2924523599242484e-09) * (x4 * x4)), F(1) / (F(2) + x13 * (F(2) + x13)));
}

template <class F>
FUSEDOPT_INLINE F atan2(F y, F x) {
  const F x1 = abs(y);
  const auto x2 = x1 > x;
  const F x3 = select(x2, x1, x);
  const F x4 = select(x2, x, x1) / select(x3 <= F(0), F(1), x3);
  const F x5 = x4 * x4;
  const F x6 = x5 * x5;
  const F x7 = x6 * x6;
  const F x8 = x5 * x5;
  const F x9 = x8 * x8;
  const F x10 = x9 * x9;
  const F x11 = x4 * by_precision(F(1) + F(-0.33333152735408716) * x5 + (F(0.1999377282238942) + F(-0.14211055190823377) * x5) * x6 + (F(0.10666004145078815) + F(-0.0755221321088615) * x5 + (F(0.04321184850744002) + F(-0.01636792091068566) * x5) * x6) * x7 + F(0.0029206906117859193) * (x7 * x7), F(1) + F(-0.3333333333333293) * x5 + (F(0.19999999999939716) + F(-0.14285714282101586) * x5) * x8 + (F(0.11111110996127528) + F(-0.09090906842654788) * x5 + (F(0.07692278221566162) + F(-0.06666392324955762) * x5) * x8) * x9 + (F(0.058804646267658064) + F(-0.05253260023107965) * x5 + (F(0.04721506003510323) + F(-0.0421717074710857) * x5) * x8 + (F(0.03660321601166084) + F(-0.02984546465890408) * x5 + (F(0.021916193615750982) + F(-0.013838381615840953) * x5) * x8) * x9) * x10 + (F(0.007154006667030246) + F(-0.002863730514151662) * x5 + (F(0.0008240534861313282) + F(-0.0001506277836045984) * x5) * x8 + F(1.3075242896860887e-05) * x9) * (x10 * x10));
  const F x12 = select(x2, F(1.5707963267948966) - x11, x11);
  return select(y < F(0), -x12, x12);
}

}  // namespace fusedopt
