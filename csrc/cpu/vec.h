// Vec<T>: as many floats or doubles as one register of the ISA holds, in GCC's and Clang's portable vector extension.
// One text for SSE2, AVX2, AVX-512 and NEON; it lives in the ISA's namespace so that the linker never mixes them.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "../math.h"

namespace fusedopt::FUSEDOPT_ISA {

constexpr int kVectorBytes = FUSEDOPT_VECTOR_BYTES;

template <class T>
struct Registers;
template <>
struct Registers<float> {
  typedef float Lanes __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Bits __attribute__((vector_size(kVectorBytes)));
  typedef uint32_t Unsigned __attribute__((vector_size(kVectorBytes)));
};
template <>
struct Registers<double> {
  typedef double Lanes __attribute__((vector_size(kVectorBytes)));
  typedef int64_t Bits __attribute__((vector_size(kVectorBytes)));
  typedef uint64_t Unsigned __attribute__((vector_size(kVectorBytes)));
};

template <class T>
struct Mask {
  typename Registers<T>::Bits bits;  // all ones where true
};

template <class T>
struct Vec {
  using Lanes = typename Registers<T>::Lanes;
  using Bits = typename Registers<T>::Bits;
  using Unsigned = typename Registers<T>::Unsigned;
  static constexpr int lanes = kVectorBytes / sizeof(T);
  Lanes x;

  Vec() = default;
  FUSEDOPT_INLINE Vec(Lanes lanes) : x(lanes) {}
  template <class Number>
  FUSEDOPT_INLINE explicit Vec(Number value) : x(static_cast<T>(value) - Lanes{}) {}

  FUSEDOPT_INLINE static Vec load(const T* from) {
    Vec v;
    std::memcpy(&v.x, from, kVectorBytes);
    return v;
  }
  FUSEDOPT_INLINE void store(T* to) const { std::memcpy(to, &x, kVectorBytes); }
};

template <class T>
FUSEDOPT_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {
  return a.x + b.x;
}
template <class T>
FUSEDOPT_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {
  return a.x - b.x;
}
template <class T>
FUSEDOPT_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {
  return a.x * b.x;
}
template <class T>
FUSEDOPT_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {
  return a.x / b.x;
}
template <class T>
FUSEDOPT_INLINE Vec<T> operator-(Vec<T> a) {
  return -a.x;
}
template <class T>
FUSEDOPT_INLINE Mask<T> operator>(Vec<T> a, Vec<T> b) {
  return {a.x > b.x};
}
template <class T>
FUSEDOPT_INLINE Mask<T> operator>=(Vec<T> a, Vec<T> b) {
  return {a.x >= b.x};
}
template <class T>
FUSEDOPT_INLINE Mask<T> operator<(Vec<T> a, Vec<T> b) {
  return {a.x < b.x};
}
template <class T>
FUSEDOPT_INLINE Mask<T> operator<=(Vec<T> a, Vec<T> b) {
  return {a.x <= b.x};
}

template <class T>
FUSEDOPT_INLINE Vec<T> select(Mask<T> mask, Vec<T> a, Vec<T> b) {
  return mask.bits ? a.x : b.x;
}
template <class T>
FUSEDOPT_INLINE Vec<T> abs(Vec<T> a) {
  using Bits = typename Vec<T>::Bits;
  const auto sign = (Bits)Vec<T>(T(-0.0)).x;
  return (typename Vec<T>::Lanes)((Bits)a.x & ~sign);
}
template <class T>
FUSEDOPT_INLINE Vec<T> sqrt(Vec<T> a) {
  Vec<T> root;
  for (int i = 0; i < Vec<T>::lanes; ++i) root.x[i] = std::sqrt(a.x[i]);  // compiles to one vector instruction
  return root;
}

FUSEDOPT_INLINE Vec<float> by_precision(Vec<float> single, Vec<float>) { return single; }
FUSEDOPT_INLINE Vec<double> by_precision(Vec<double>, Vec<double> twice) { return twice; }

// The composites of fusedopt/math.py in fewer instructions: a comparison takes b where either is NaN.
template <class T>
FUSEDOPT_INLINE Vec<T> maximum(Vec<T> a, Vec<T> b) {
  return a.x == a.x ? (a.x > b.x ? a.x : b.x) : a.x;
}
template <class T>
FUSEDOPT_INLINE Vec<T> minimum(Vec<T> a, Vec<T> b) {
  return a.x == a.x ? (a.x < b.x ? a.x : b.x) : a.x;
}
// The larger of values that have no sign: as integers, among which a NaN is larger than any number.
template <class T>
FUSEDOPT_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
  typedef typename Vec<T>::Unsigned Unsigned;
  const Unsigned x = (Unsigned)a.x, y = (Unsigned)b.x;
  return (typename Vec<T>::Lanes)(x > y ? x : y);
}

}  // namespace fusedopt::FUSEDOPT_ISA
