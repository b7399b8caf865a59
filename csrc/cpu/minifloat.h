// Eight-bit codes: the top bits of x / scale, where scale is the block's largest magnitude. Eight codes an octave, 1.0
// is the last, 0 is zero, and what is not zero never gets code 0. fusedopt/codecs.py has the same lines in torch.
#pragma once
#include <algorithm>

#include "../random.h"
#include "../row.h"
#include "bytes.h"

namespace fusedopt::FUSEDOPT_ISA {

template <class Byte>
constexpr bool kHasSign = Byte(-1) < 0;
// 1016 are the top 12 bits of 1.0f.
template <class Byte>
constexpr int16_t kLast = kHasSign<Byte> ? 127 : 255;
template <class Byte>
constexpr int16_t kOffset = 1016 - kLast<Byte>;

template <class Byte>
FUSEDOPT_INLINE void decode_halves(float* to, const Byte* from, Floats scale) {
  const Halves code = widened(from), sign = kHasSign<Byte> ? code >> 15 : Halves{};
  const Halves size = (code ^ sign) - sign;
  const Halves top = (((size + kOffset<Byte>) << 4) & (Halves)(size > 0)) | (sign << 15);
  Vec<float>(low_floats(top) * scale).store(to);
  Vec<float>(high_floats(top) * scale).store(to + kHalves / 2);
}

template <class Byte>
void decode_codes(float* to, const Byte* from, float scale, int count) {
  const Floats scales = scale - Floats{};
  const int whole = count / kHalves * kHalves;
  for (int i = 0; i < whole; i += kHalves) decode_halves(to + i, from + i, scales);
  if (whole == count) return;
  Byte rest[kHalves] = {};
  float decoded[kHalves];
  std::copy_n(from + whole, count - whole, rest);
  decode_halves(decoded, rest, scales);
  std::copy_n(decoded, count - whole, to + whole);
}

// The largest magnitude as an integer, among which NaN is the largest; at least the smallest normal number, whose
// inverse is finite.
template <class Byte>
float block_scale(const float* from) {
  constexpr int parts = 4, lanes = kHalves / 2;
  constexpr uint32_t magnitude = kHasSign<Byte> ? 0x7fffffffu : 0xffffffffu;
  Unsigned most[parts];
  for (Unsigned& part : most) part = 0x00800000u - Unsigned{};
  for (int i = 0; i < kBlock8; i += parts * lanes)
    for (int part = 0; part < parts; ++part) {
      Unsigned bits;
      std::memcpy(&bits, from + i + part * lanes, sizeof(bits));
      bits &= magnitude;
      most[part] = bits > most[part] ? bits : most[part];
    }
  uint32_t largest = 0;
  for (const Unsigned& part : most)
    for (int i = 0; i < lanes; ++i) largest = std::max(largest, part[i]);
  return __builtin_bit_cast(float, largest);
}

// `top`: the twelve bits of a rounded magnitude.
template <class Byte>
FUSEDOPT_INLINE Halves code_of(Halves top) {
  const Halves code = top - kOffset<Byte>, least = top < 1 ? top : Halves{} + 1;
  const Halves clamped = code > least ? code : least;
  return kHasSign<Byte> ? (clamped < kLast<Byte> ? clamped : Halves{} + kLast<Byte>) : clamped;
}

// To nearest, ties away from zero.
FUSEDOPT_INLINE Halves signed_codes(const float* from, Floats inverse) {
  const Words low = (Words)(Vec<float>::load(from).x * inverse) >> 16;
  const Words high = (Words)(Vec<float>::load(from + kHalves / 2).x * inverse) >> 16;
  const Halves bits = packed(low, high), sign = bits >> 15;
  const Halves code = code_of<int8_t>(((bits & 0x7fff) + 8) >> 4);
  return (code ^ sign) - sign;
}

// `draw` are 32 random bits a lane.
template <bool stochastic>
FUSEDOPT_INLINE Halves positive_codes(const float* from, Floats inverse, Unsigned& draw) {
  Words top[2];
  for (int half = 0; half < 2; ++half) {
    const Unsigned bits = (Unsigned)(Vec<float>::load(from + half * kHalves / 2).x * inverse);
    top[half] = (Words)((bits + (stochastic ? draw >> 12 : Unsigned{} + (1u << 19))) >> 20);
    if (stochastic) draw += kGolden * (kHalves / 2);
  }
  return code_of<uint8_t>(packed(top[0], top[1]));
}

FUSEDOPT_INLINE Unsigned first_draws(uint32_t start) {
  Unsigned draw;
  for (int i = 0; i < kHalves / 2; ++i) draw[i] = start + kGolden * static_cast<uint32_t>(i);
  return draw;
}

// A whole block; gives its scale.
template <class Byte, bool stochastic>
float encode_codes(Byte* to, const float* from, uint32_t start) {
  const float scale = block_scale<Byte>(from);
  const Floats inverse = 1 / scale - Floats{};
  Unsigned draw = first_draws(start);
  for (int i = 0; i < kBlock8; i += 2 * kHalves) {
    if constexpr (kHasSign<Byte>)
      store(to + i, signed_codes(from + i, inverse), signed_codes(from + i + kHalves, inverse));
    else {
      const Halves first = positive_codes<stochastic>(from + i, inverse, draw);
      store(to + i, first, positive_codes<stochastic>(from + i + kHalves, inverse, draw));
    }
  }
  return scale;
}

// Any number of elements from the start of a block on.
template <class Byte, class T>
void decode_blocks(T* to, const Byte* from, const float* scales, int count) {
  for (int i = 0; i < count; i += kBlock8) {
    const int part = std::min(kBlock8, count - i);
    if constexpr (sizeof(T) == sizeof(float)) {
      decode_codes(to + i, from + i, *scales++, part);
    } else {
      float decoded[kBlock8];
      decode_codes(decoded, from + i, *scales++, part);
      std::copy_n(decoded, part, to + i);
    }
  }
}

template <class Byte, bool stochastic, class T>
void encode_blocks(const T* from, Byte* to, float* scales, uint32_t key, int64_t block, int count) {
  for (int i = 0; i < count; i += kBlock8, ++block) {
    const int part = std::min(kBlock8, count - i);
    const uint32_t start = stochastic ? block_start(key, block) : 0;
    if (sizeof(T) == sizeof(float) && part == kBlock8) {
      *scales++ = encode_codes<Byte, stochastic>(to + i, reinterpret_cast<const float*>(from + i), start);
      continue;
    }
    float padded[kBlock8] = {};
    Byte codes[kBlock8];
    for (int j = 0; j < part; ++j) padded[j] = static_cast<float>(from[i + j]);
    *scales++ = encode_codes<Byte, stochastic>(codes, padded, start);
    std::copy_n(codes, part, to + i);
  }
}

}  // namespace fusedopt::FUSEDOPT_ISA
