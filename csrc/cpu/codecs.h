// Storage formats to and from the arithmetic type, a block at a time. Plain loops: the compiler vectorises them per
// ISA.
#pragma once
#include <cstring>

#include "dynamic.h"
#include "weights.h"

namespace fusedopt::FUSEDOPT_ISA {

template <class Stored, class T>
void decode_plain(T* to, const Stored* from, int count) {
  for (int i = 0; i < count; ++i) to[i] = static_cast<T>(decode(from[i]));
}

template <class Stored, class T>
void encode_plain(const T* from, Stored* to, int count) {
  for (int i = 0; i < count; ++i) encode(to[i], from[i]);
}

// One bit for each of eight elements, the first lowest, set where it is above zero.
template <class T>
uint8_t positive_bits(const T* from) {
  typedef T Lanes __attribute__((vector_size(8 * sizeof(T))));
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  const auto above = lanes > 0;
#ifdef __AVX__
  if constexpr (sizeof(T) == 4) return static_cast<uint8_t>(__builtin_ia32_movmskps256((Lanes)above));
#endif
  typedef int8_t Bytes __attribute__((vector_size(8)));
  constexpr uint64_t one_of_each = 0x8040201008040201;  // bit i of byte i
  const auto set = (uint64_t)__builtin_convertvector(above, Bytes);
  return static_cast<uint8_t>((set & one_of_each) * 0x0101010101010101 >> 56);
}

// Signs, eight a byte; `offset` is a multiple of eight. Whole bytes of `to` are written; a row's last byte is zero
// beyond its end.
template <class T>
void decode_bits(T* to, const void* base, int64_t offset, int count) {
  const uint8_t* from = static_cast<const uint8_t*>(base) + offset / 8;
  const auto sign = [](uint32_t bits, int i) { return (bits >> i & 1) ? T(1) : T(-1); };
  const int whole = count / 32 * 32;
  for (int i = 0; i < whole; i += 32) {
    uint32_t bits;
    std::memcpy(&bits, from + i / 8, sizeof(bits));
    for (int j = 0; j < 32; ++j) to[i + j] = sign(bits, j);  // compiles to vector shifts
  }
  for (int i = whole; i < count; ++i) to[i] = sign(from[i / 8], i % 8);
}

template <class T>
void encode_bits(const T* from, void* base, int64_t offset, int count) {
  uint8_t* to = static_cast<uint8_t*>(base) + offset / 8;
  const int whole = count / 8 * 8;
  for (int i = 0; i < whole; i += 8) to[i / 8] = positive_bits(from + i);
  if (whole == count) return;
  T rest[8] = {};
  std::memcpy(rest, from + whole, (count - whole) * sizeof(T));
  to[whole / 8] = positive_bits(rest);
}

// Not inlined: there are as many callers as rules.
template <class T>
__attribute__((noinline)) void decode_block(T* to, const Place& from, int count) {
  switch (from.codec) {
    case kFloat32: return decode_plain(to, from.at<float>(), count);
    case kBFloat16:
    case kBFloat16Stochastic: return decode_plain(to, from.at<BFloat16>(), count);
    case kFloat16:
    case kFloat16Stochastic: return decode_plain(to, from.at<Float16>(), count);
    case kFloat64: return decode_plain(to, from.at<double>(), count);
    case kBits: return decode_bits(to, from.base, from.offset, count);
    case kSigned8:
    case kSigned8Stochastic: return decode_codes<int8_t>(to, from, count);
    case kPositive8:
    case kPositive8Stochastic: return decode_codes<uint8_t>(to, from, count);
    case kBFloat16Kahan: return decode_kahan(to, from.at<BFloat16>(), from.beside<BFloat16>(), count);
    case kFloat16Kahan: return decode_kahan(to, from.at<Float16>(), from.beside<Float16>(), count);
    case kSplit24: return decode_split(to, from.at<uint16_t>(), from.beside<int8_t>(), count);
    case kSplit32: return decode_split(to, from.at<uint16_t>(), from.beside<int16_t>(), count);
    case kDynamicSigned: return decode_dynamic(to, dynamic_tree_signed, from, count);
    case kDynamicPositive: return decode_dynamic(to, dynamic_tree_positive, from, count);
  }
}

template <class T>
__attribute__((noinline)) void encode_block(const T* from, const Place& to, int count) {
  switch (to.codec) {
    case kFloat32: return encode_plain(from, to.at<float>(), count);
    case kBFloat16: return encode_weights<Nearest>(from, to, count);
    case kFloat16: return encode_plain(from, to.at<Float16>(), count);
    case kFloat64: return encode_plain(from, to.at<double>(), count);
    case kBits: return encode_bits(from, to.base, to.offset, count);
    case kSigned8: return encode_codes<int8_t, false>(from, to, count);
    case kSigned8Stochastic: return encode_codes<int8_t, true>(from, to, count);
    case kPositive8: return encode_codes<uint8_t, false>(from, to, count);
    case kPositive8Stochastic: return encode_codes<uint8_t, true>(from, to, count);
    case kBFloat16Stochastic: return encode_weights<Stochastic>(from, to, count);
    case kFloat16Stochastic: return encode_weights<StochasticHalf>(from, to, count);
    case kBFloat16Kahan: return encode_weights<Kahan>(from, to, count);
    case kFloat16Kahan: return encode_weights<KahanHalf>(from, to, count);
    case kSplit24: return encode_weights<Split24>(from, to, count);
    case kSplit32: return encode_weights<Split32>(from, to, count);
    case kDynamicSigned: return encode_dynamic(from, dynamic_tree_signed, to, count);
    case kDynamicPositive: return encode_dynamic(from, dynamic_tree_positive, to, count);
  }
}

}  // namespace fusedopt::FUSEDOPT_ISA
