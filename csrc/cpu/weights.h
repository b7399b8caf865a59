// Sixteen-bit weights that keep what rounding would lose: in chance (stochastic), or in a second tensor (the pairs).
#pragma once
#include <algorithm>
#include <cstdint>

#include "../random.h"
#include "../row.h"
#include "float16.h"

namespace fusedopt::FUSEDOPT_ISA {

// Adds random bits below the cut: away from zero with the probability that keeps the mean.
inline void encode_stochastic(BFloat16& to, float x, uint32_t draw) {
  const uint32_t u = __builtin_bit_cast(uint32_t, x), rounded = (u + (draw >> 16)) >> 16;
  to.bits = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : rounded);
}
inline void encode_stochastic(Float16& to, float x, uint32_t draw) {
  const uint32_t u = __builtin_bit_cast(uint32_t, x), magnitude = u & 0x7fffffffu;
  const uint32_t normal = std::min((magnitude - 0x38000000u + (draw >> 19)) >> 13, 0x7c00u);
  const float units = __builtin_bit_cast(float, std::min(magnitude, 0x38800000u)) * 0x1p24f;  // a subnormal's last bit
  const float chance = static_cast<float>(static_cast<int32_t>(draw >> 8)) * 0x1p-24f;
  const uint32_t subnormal = static_cast<uint32_t>(static_cast<int32_t>(units + chance));
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  to.bits = static_cast<uint16_t>((magnitude >= 0x7f800000u ? special : finite) | (u >> 16 & 0x8000u));
}

template <class Stored, class T>
void encode_stochastic(const T* from, Stored* to, uint32_t key, int64_t block, int count) {
  for (int i = 0; i < count; i += kBlock8, ++block) {
    const uint32_t start = block_start(key, block);
    const int part = count - i < kBlock8 ? count - i : kBlock8;
    for (int j = 0; j < part; ++j)
      encode_stochastic(to[i + j], static_cast<float>(from[i + j]), start + kGolden * static_cast<uint32_t>(j));
  }
}

// Kahan's pair: the rounded weight, and what the rounding took, rounded likewise.
template <class Stored, class T>
void decode_kahan(T* to, const Stored* weight, const Stored* rest, int count) {
  for (int i = 0; i < count; ++i) to[i] = static_cast<T>(decode(weight[i]) + decode(rest[i]));
}
template <class Stored, class T>
void encode_kahan(const T* from, Stored* weight, Stored* rest, int count) {
  for (int i = 0; i < count; ++i) {
    const float x = static_cast<float>(from[i]);
    Stored rounded;
    encode(rounded, x);
    encode(rest[i], x - decode(rounded));
    weight[i] = rounded;
  }
}

// Of what no rounding may touch: numbers next to infinity, infinity, and NaN, which stays one.
inline uint32_t truncated(uint32_t bits) { return bits >> 16 | ((bits & 0x7fffffffu) > 0x7f800000u ? 0x40u : 0u); }

// A float32 in two integers: the nearest bfloat16 (halves away from zero), and the signed difference of the bits.
template <class T>
void decode_split32(T* to, const uint16_t* high, const int16_t* low, int count) {
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = (uint32_t{high[i]} << 16) + static_cast<uint32_t>(int32_t{low[i]});
    to[i] = static_cast<T>(__builtin_bit_cast(float, bits));
  }
}
template <class T>
void encode_split32(const T* from, uint16_t* high, int16_t* low, int count) {
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, static_cast<float>(from[i]));
    const bool finite = (bits & 0x7fffffffu) < 0x7f7f8000u;  // beyond, rounding would reach infinity
    high[i] = static_cast<uint16_t>(finite ? (bits + 0x8000u) >> 16 : truncated(bits));
    low[i] = static_cast<int16_t>(finite ? bits : 0);
  }
}

// The same with eight bits less, dropped stochastically.
template <class T>
void decode_split24(T* to, const uint16_t* high, const int8_t* low, int count) {
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = (uint32_t{high[i]} << 16) + (static_cast<uint32_t>(int32_t{low[i]}) << 8);
    to[i] = static_cast<T>(__builtin_bit_cast(float, bits));
  }
}
template <class T>
void encode_split24(const T* from, uint16_t* high, int8_t* low, uint32_t key, int64_t block, int count) {
  for (int i = 0; i < count; i += kBlock8, ++block) {
    const uint32_t start = block_start(key, block);
    const int part = count - i < kBlock8 ? count - i : kBlock8;
    for (int j = i; j < i + part; ++j) {
      const uint32_t bits = __builtin_bit_cast(uint32_t, static_cast<float>(from[j]));
      const uint32_t rounded = bits + ((start + kGolden * static_cast<uint32_t>(j - i)) >> 24);
      const bool finite = (bits & 0x7fffffffu) < 0x7f7f8000u - 0x100u;
      high[j] = static_cast<uint16_t>(finite ? (rounded + 0x8000u) >> 16 : truncated(bits));
      low[j] = static_cast<int8_t>(finite ? rounded >> 8 : 0);
    }
  }
}

}  // namespace fusedopt::FUSEDOPT_ISA
