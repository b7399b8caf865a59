// Eight-bit codes: the top bits of x / scale, where scale is the block's largest magnitude. Eight codes an octave, 1.0
// is the last, 0 is zero, and what is smaller than the smallest value is zero in signed codes only. fusedopt/codecs.py
// has the same lines in torch, and the reasons.
#pragma once
#include <algorithm>

#include "bytes.h"
#include "place.h"

namespace fusedopt::FUSEDOPT_ISA {

template <class Byte>
constexpr bool kHasSign = Byte(-1) < 0;
// 1016 are the top 12 bits of 1.0f.
template <class Byte>
constexpr int16_t kLast = kHasSign<Byte> ? 127 : 255;
template <class Byte>
constexpr int16_t kOffset = 1016 - kLast<Byte>;
// The code of what is below the smallest value and not zero.
template <class Byte>
constexpr int16_t kLeast = kHasSign<Byte> ? 0 : 1;

template <class Byte>
FUSEDOPT_INLINE void decode_halves(float* to, const Byte* from, Floats scale) {
  const Halves code = widened(from), size = kHasSign<Byte> ? (code < 0 ? -code : code) : code;
  const Halves top =
      (((size + kOffset<Byte>) << 4) & (Halves)(size > 0)) | (kHasSign<Byte> ? code & int16_t(-0x8000) : Halves{});
  Vec<float>(low_floats(top) * scale).store(to);
  Vec<float>(high_floats(top) * scale).store(to + kHalves / 2);
}

template <class Byte>
void decode_part(float* to, const Byte* from, float scale, int count) {
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
  const Halves code = top - kOffset<Byte>, least = top < kLeast<Byte> ? top : Halves{} + kLeast<Byte>;
  const Halves clamped = code > least ? code : least;
  return kHasSign<Byte> ? (clamped < kLast<Byte> ? clamped : Halves{} + kLast<Byte>) : clamped;
}

// To nearest, ties away from zero, or by chance: `draw` are 32 random bits a lane. Half a code is a bit of the top 16.
template <class Byte, bool stochastic>
FUSEDOPT_INLINE Halves codes_of(const float* from, Floats inverse, Unsigned& draw) {
  Words top[2];
  for (int half = 0; half < 2; ++half) {
    Unsigned bits = (Unsigned)(Vec<float>::load(from + half * kHalves / 2).x * inverse);
    if (stochastic) bits += draw >> 12, draw += kGolden * (kHalves / 2);
    top[half] = (Words)bits >> 16;
  }
  const Halves bits = packed(top[0], top[1]), sign = bits >> 15;
  const Halves code = code_of<Byte>(((bits & 0x7fff) + int16_t(stochastic ? 0 : 8)) >> 4);
  return kHasSign<Byte> ? (code ^ sign) - sign : code;
}

// A whole block; gives its scale.
template <class Byte, bool stochastic>
float encode_whole(Byte* to, const float* from, uint32_t start) {
  const float scale = block_scale<Byte>(from);
  const Floats inverse = 1 / scale - Floats{};
  Unsigned draw = first_draws(start);
  for (int i = 0; i < kBlock8; i += 2 * kHalves) {
    const Halves first = codes_of<Byte, stochastic>(from + i, inverse, draw);
    store(to + i, first, codes_of<Byte, stochastic>(from + i + kHalves, inverse, draw));
  }
  return scale;
}

// Any number of elements from the start of a block on.
template <class Byte, class T>
void decode_codes(T* to, Place from, int count) {
  for (int i = 0; i < count; i += kBlock8, from.advance(kBlock8)) {
    const int part = std::min(kBlock8, count - i);
    if constexpr (sizeof(T) == sizeof(float)) {
      decode_part(to + i, from.at<Byte>(), from.scale(), part);
    } else {
      float decoded[kBlock8];
      decode_part(decoded, from.at<Byte>(), from.scale(), part);
      std::copy_n(decoded, part, to + i);
    }
  }
}

template <class Byte, bool stochastic, class T>
void encode_codes(const T* from, Place to, int count) {
  for (int i = 0; i < count; i += kBlock8, to.advance(kBlock8)) {
    const int part = std::min(kBlock8, count - i);
    float padded[kBlock8] = {};
    const float* x = floats(from + i, part, padded);
    if (part == kBlock8) {
      to.scale() = encode_whole<Byte, stochastic>(to.at<Byte>(), x, to.start());
      continue;
    }
    if (x != padded) std::copy_n(x, part, padded);
    Byte codes[kBlock8];
    to.scale() = encode_whole<Byte, stochastic>(codes, padded, to.start());
    std::copy_n(codes, part, to.at<Byte>());
  }
}

}  // namespace fusedopt::FUSEDOPT_ISA
