// Storage formats to and from the arithmetic type, a block at a time. Plain loops: the compiler vectorises them per
// ISA.
#pragma once
#include <cstdint>
#include <cstring>

#include "../row.h"

namespace fusedopt::FUSEDOPT_ISA {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline float decode(float x) { return x; }
inline double decode(double x) { return x; }
inline float decode(BFloat16 x) { return __builtin_bit_cast(float, uint32_t{x.bits} << 16); }
inline float decode(Float16 x) {
  const uint32_t magnitude = uint32_t{x.bits} << 13 & 0x0fffe000u, sign = uint32_t{x.bits} << 16 & 0x80000000u;
  const float scaled =
      __builtin_bit_cast(float, magnitude) * 0x1p112f;  // moves the exponent's bias, exact for subnormals
  const uint32_t finite = __builtin_bit_cast(uint32_t, scaled);
  return __builtin_bit_cast(float, (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite) | sign);
}

inline void encode(float& to, double x) { to = static_cast<float>(x); }
inline void encode(double& to, double x) { to = x; }
inline void encode(BFloat16& to, float x) {
  const uint32_t u = __builtin_bit_cast(uint32_t, x);
  const uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;  // to nearest, ties to even
  const uint32_t nan = u >> 16 | 0x40u;
  to.bits = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}
inline void encode(Float16& to, float x) {
  const uint32_t u = __builtin_bit_cast(uint32_t, x), magnitude = u & 0x7fffffffu;
  const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;  // rounds at a subnormal half's last bit
  const uint32_t subnormal = __builtin_bit_cast(uint32_t, shifted) - 0x3f000000u;
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x1ffu) : 0x7c00u;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  to.bits = static_cast<uint16_t>((magnitude >= 0x477ff000u ? special : finite) | (u >> 16 & 0x8000u));
}
inline void encode(BFloat16& to, double x) { encode(to, static_cast<float>(x)); }
inline void encode(Float16& to, double x) { encode(to, static_cast<float>(x)); }

template <class Stored, class T>
void decode_block(T* to, const void* base, int64_t offset, int count) {
  const Stored* from = static_cast<const Stored*>(base) + offset;
  for (int i = 0; i < count; ++i) to[i] = static_cast<T>(decode(from[i]));
}

template <class Stored, class T>
void encode_block(const T* from, void* base, int64_t offset, int count) {
  Stored* to = static_cast<Stored*>(base) + offset;
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

template <class T>
void decode_block(T* to, const void* base, DType dtype, int64_t offset, int count) {
  switch (dtype) {
    case kFloat32: return decode_block<float>(to, base, offset, count);
    case kBFloat16: return decode_block<BFloat16>(to, base, offset, count);
    case kFloat16: return decode_block<Float16>(to, base, offset, count);
    case kFloat64: return decode_block<double>(to, base, offset, count);
    case kBits: return decode_bits(to, base, offset, count);
  }
}

template <class T>
void encode_block(const T* from, void* base, DType dtype, int64_t offset, int count) {
  switch (dtype) {
    case kFloat32: return encode_block<float>(from, base, offset, count);
    case kBFloat16: return encode_block<BFloat16>(from, base, offset, count);
    case kFloat16: return encode_block<Float16>(from, base, offset, count);
    case kFloat64: return encode_block<double>(from, base, offset, count);
    case kBits: return encode_bits(from, base, offset, count);
  }
}

}  // namespace fusedopt::FUSEDOPT_ISA
