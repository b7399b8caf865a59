// Sixteen-bit weights, and what keeps the rest of them: chance (stochastic), or a second tensor (the pairs). A block is
// written by vectors where it is whole and tame, one by one elsewhere.
#pragma once
#include <algorithm>
#include <type_traits>

#include "bytes.h"
#include "float16.h"
#include "place.h"

namespace fusedopt::FUSEDOPT_ISA {

// From here on rounding to bfloat16 reaches infinity.
constexpr uint32_t kBeyond = 0x7f7f8000u;

FUSEDOPT_INLINE uint32_t bits_of(float x) { return __builtin_bit_cast(uint32_t, x); }
FUSEDOPT_INLINE Unsigned bits_at(const float* from) { return (Unsigned)Vec<float>::load(from).x; }

// Whether no element of a whole block is NaN, infinite, or next to it.
inline bool is_tame(const float* block) {
  Unsigned most = {};
  for (int i = 0; i < kBlock8; i += kHalves / 2) {
    const Unsigned magnitude = bits_at(block + i) & 0x7fffffffu;
    most = magnitude > most ? magnitude : most;
  }
  uint32_t largest = 0;
  for (int i = 0; i < kHalves / 2; ++i) largest = std::max(largest, most[i]);
  return largest < kBeyond - 0x100u;
}

// The top halves of numbers that were rounded in place.
FUSEDOPT_INLINE Halves tops(Unsigned low, Unsigned high) { return packed((Words)low >> 16, (Words)high >> 16); }
// Sixteen of the lower bits.
FUSEDOPT_INLINE Halves lows(Unsigned low, Unsigned high) { return tops(low << 16, high << 16); }

template <class Bits>
FUSEDOPT_INLINE Bits to_nearest(Bits bits) {
  return bits + 0x7fffu + (bits >> 16 & 1u);  // ties to even
}
// What no rounding may touch: numbers next to infinity, infinity, and NaN, which stays one.
inline uint32_t truncated(uint32_t bits) { return bits >> 16 | ((bits & 0x7fffffffu) > 0x7f800000u ? 0x40u : 0u); }

struct Nearest {
  static void block(const float* x, const Place& to, uint32_t) {
    for (int i = 0; i < kBlock8; i += kHalves)
      store(to.at<uint16_t>() + i, tops(to_nearest(bits_at(x + i)), to_nearest(bits_at(x + i + kHalves / 2))));
  }
  static void element(float x, const Place& to, int i, uint32_t) { encode(to.at<BFloat16>()[i], x); }
};

// Adds random bits below the cut: away from zero with the probability that keeps the mean.
struct Stochastic {
  static void block(const float* x, const Place& to, uint32_t start) {
    Unsigned draw = first_draws(start);
    for (int i = 0; i < kBlock8; i += kHalves) {
      const Unsigned next = draw + kGolden * (kHalves / 2);
      store(to.at<uint16_t>() + i, tops(bits_at(x + i) + (draw >> 16), bits_at(x + i + kHalves / 2) + (next >> 16)));
      draw = next + kGolden * (kHalves / 2);
    }
  }
  static void element(float x, const Place& to, int i, uint32_t draw) {
    const uint32_t bits = bits_of(x);
    const bool number = (bits & 0x7fffffffu) <= 0x7f800000u;
    to.at<uint16_t>()[i] = static_cast<uint16_t>(number ? (bits + (draw >> 16)) >> 16 : truncated(bits));
  }
};

// Kahan's pair: the rounded weight, and what the rounding took, rounded likewise.
struct Kahan {
  static void block(const float* x, const Place& to, uint32_t) {
    for (int i = 0; i < kBlock8; i += kHalves) {
      Unsigned weight[2], rest[2];
      for (int half = 0; half < 2; ++half) {
        const Unsigned bits = bits_at(x + i + half * kHalves / 2);
        weight[half] = to_nearest(bits);
        rest[half] = to_nearest((Unsigned)((Floats)bits - (Floats)(weight[half] & 0xffff0000u)));
      }
      store(to.at<uint16_t>() + i, tops(weight[0], weight[1]));
      store(to.beside<uint16_t>() + i, tops(rest[0], rest[1]));
    }
  }
  static void element(float x, const Place& to, int i, uint32_t) {
    encode(to.at<BFloat16>()[i], x);
    encode(to.beside<BFloat16>()[i], x - decode(to.at<BFloat16>()[i]));
  }
};

// A float32 in two integers: the nearest bfloat16 (halves away from zero), and the signed difference of the bits.
struct Split32 {
  static void block(const float* x, const Place& to, uint32_t) {
    for (int i = 0; i < kBlock8; i += kHalves) {
      const Unsigned low = bits_at(x + i), high = bits_at(x + i + kHalves / 2);
      store(to.at<uint16_t>() + i, tops(low + 0x8000u, high + 0x8000u));
      store(to.beside<uint16_t>() + i, lows(low, high));
    }
  }
  static void element(float x, const Place& to, int i, uint32_t) {
    const uint32_t bits = bits_of(x);
    const bool tame = (bits & 0x7fffffffu) < kBeyond;
    to.at<uint16_t>()[i] = static_cast<uint16_t>(tame ? (bits + 0x8000u) >> 16 : truncated(bits));
    to.beside<int16_t>()[i] = static_cast<int16_t>(tame ? bits : 0);
  }
};

// The same with eight bits less, dropped stochastically.
struct Split24 {
  static void block(const float* x, const Place& to, uint32_t start) {
    Unsigned draw = first_draws(start), bits[4];
    for (int i = 0; i < kBlock8; i += 2 * kHalves) {
      for (int part = 0; part < 4; ++part, draw += kGolden * (kHalves / 2))
        bits[part] = bits_at(x + i + part * kHalves / 2) + (draw >> 24);
      for (int half = 0; half < 2; ++half)
        store(to.at<uint16_t>() + i + half * kHalves, tops(bits[2 * half] + 0x8000u, bits[2 * half + 1] + 0x8000u));
      store(to.beside<int8_t>() + i, lows(bits[0], bits[1]) >> 8, lows(bits[2], bits[3]) >> 8);
    }
  }
  static void element(float x, const Place& to, int i, uint32_t draw) {
    const uint32_t bits = bits_of(x), rounded = bits + (draw >> 24);
    const bool tame = (bits & 0x7fffffffu) < kBeyond - 0x100u;
    to.at<uint16_t>()[i] = static_cast<uint16_t>(tame ? (rounded + 0x8000u) >> 16 : truncated(bits));
    to.beside<int8_t>()[i] = static_cast<int8_t>(tame ? rounded >> 8 : 0);
  }
};

// float16: its subnormal numbers are rounded in units of their last bit.
struct StochasticHalf {
  static void element(float x, const Place& to, int i, uint32_t draw) {
    const uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffffu;
    const uint32_t normal = std::min((magnitude - 0x38000000u + (draw >> 19)) >> 13, 0x7c00u);
    const float units = __builtin_bit_cast(float, std::min(magnitude, 0x38800000u)) * 0x1p24f;
    const float chance = static_cast<float>(static_cast<int32_t>(draw >> 8)) * 0x1p-24f;
    const uint32_t subnormal = static_cast<uint32_t>(static_cast<int32_t>(units + chance));
    const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
    const uint32_t rounded = magnitude >= 0x7f800000u ? special : finite;
    to.at<uint16_t>()[i] = static_cast<uint16_t>(rounded | (bits >> 16 & 0x8000u));
  }
};
struct KahanHalf {
  static void element(float x, const Place& to, int i, uint32_t) {
    encode(to.at<Float16>()[i], x);
    encode(to.beside<Float16>()[i], x - decode(to.at<Float16>()[i]));
  }
};

template <class Format>
constexpr bool has_vectors = !std::is_same_v<Format, StochasticHalf> && !std::is_same_v<Format, KahanHalf>;

// From the start of a block on.
template <class Format, class T>
void encode_weights(const T* from, Place to, int count) {
  for (int i = 0; i < count; i += kBlock8, to.advance(kBlock8)) {
    const int part = std::min(kBlock8, count - i);
    float copy[kBlock8];
    const float* x = floats(from + i, part, copy);
    if constexpr (has_vectors<Format>)
      if (part == kBlock8 && is_tame(x)) {
        Format::block(x, to, to.start());
        continue;
      }
    for (int j = 0; j < part; ++j) Format::element(x[j], to, j, to.start() + kGolden * static_cast<uint32_t>(j));
  }
}

template <class Stored, class T>
void decode_kahan(T* to, const Stored* weight, const Stored* rest, int count) {
  for (int i = 0; i < count; ++i) to[i] = static_cast<T>(decode(weight[i]) + decode(rest[i]));
}
// `Low` has the bits that bfloat16 lacks, or the highest of them.
template <class Low, class T>
void decode_split(T* to, const uint16_t* high, const Low* low, int count) {
  constexpr int shift = 16 - 8 * sizeof(Low);
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = (uint32_t{high[i]} << 16) + (static_cast<uint32_t>(int32_t{low[i]}) << shift);
    to[i] = static_cast<T>(__builtin_bit_cast(float, bits));
  }
}

}  // namespace fusedopt::FUSEDOPT_ISA
