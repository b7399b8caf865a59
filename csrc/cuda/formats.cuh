// One element in the codecs that are more than plain floats, as fusedopt/codecs.py has it in torch: of `main` bytes and
// `side` bytes on the side, or the bits of the block's scale. Encoding gets 1 / scale, and 32 random bits.
#pragma once
#include "access.cuh"

namespace fusedopt::cuda {

constexpr uint32_t kMagnitude = 0x7fffffff, kInfinity = 0x7f800000;

struct Bits {
  uint32_t main, side;
};

FUSEDOPT_INLINE uint32_t bits_of(float x) { return bit_cast<uint32_t>(x); }
FUSEDOPT_INLINE int smaller(int a, int b) { return a < b ? a : b; }
FUSEDOPT_INLINE int larger(int a, int b) { return a > b ? a : b; }

// Eight codes an octave below 1.0, which is the last; 0 is zero. Of x / scale, 1016 being the top 12 bits of 1.0f.
template <bool is_signed, bool by_chance>
struct Code {
  static constexpr bool scaled = true;
  static constexpr int main = 1, side = 0, last = is_signed ? 127 : 255, offset = 1016 - last;
  static constexpr int least = is_signed ? 0 : 1;  // code of what is below the smallest value and not zero

  static FUSEDOPT_INLINE float decode(uint32_t byte, uint32_t scale) {
    const int code = is_signed ? static_cast<int8_t>(byte) : static_cast<int>(byte);
    const int size = is_signed && code < 0 ? -code : code;
    const float x =
        bit_cast<float>(size != 0 ? static_cast<uint32_t>(size + offset) << 20 : 0) * bit_cast<float>(scale);
    return bit_cast<float>(bits_of(x) | (is_signed ? static_cast<uint32_t>(code) & ~kMagnitude : 0));
  }
  static FUSEDOPT_INLINE Bits encode(float x, float inverse, uint32_t draw) {
    const uint32_t magnitude = bits_of(abs(x) * inverse);
    const int top = static_cast<int>((magnitude + (by_chance ? draw >> 12 : 1u << 19)) >> 20);
    const int size = smaller(larger(top - offset, smaller(top, least)), last);
    return {static_cast<uint32_t>(is_signed && x < 0 ? -size : size), 0};
  }
};

struct BFloat16 {
  static FUSEDOPT_INLINE float decode(uint32_t bits) { return bit_cast<float>(bits << 16); }
  static FUSEDOPT_INLINE uint32_t encode(float x) { return bit_cast<unsigned short>(__float2bfloat16_rn(x)); }
  // What rounding may not touch: infinity, and NaN, which stays one.
  static FUSEDOPT_INLINE uint32_t truncated(uint32_t bits) {
    return bits >> 16 | ((bits & kMagnitude) > kInfinity ? 0x40 : 0);
  }
  static FUSEDOPT_INLINE uint32_t encode(float x, uint32_t draw) {
    const uint32_t bits = bits_of(x);
    return (bits & kMagnitude) < kInfinity ? (bits + (draw >> 16)) >> 16 : truncated(bits);
  }
};

struct Float16 {
  static FUSEDOPT_INLINE float decode(uint32_t bits) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
  }
  static FUSEDOPT_INLINE uint32_t encode(float x) { return __half_as_ushort(__float2half_rn(x)); }
  // Subnormal numbers are rounded in units of their last bit.
  static FUSEDOPT_INLINE uint32_t encode(float x, uint32_t draw) {
    const uint32_t bits = bits_of(x), magnitude = bits & kMagnitude;
    if (magnitude >= kInfinity) return encode(x);
    if (magnitude >= bits_of(0x1p-14f)) return encode(bit_cast<float>((bits + (draw >> 19)) & ~0x1fffu));
    const float chance = static_cast<float>(draw >> 8) * 0x1p-24f;
    return static_cast<uint32_t>(abs(x) * 0x1p24f + chance) | (bits >> 16 & 0x8000);
  }
};

template <class Half>
struct ByChance {
  static constexpr bool scaled = false;
  static constexpr int main = 2, side = 0;
  static FUSEDOPT_INLINE float decode(uint32_t bits, uint32_t) { return Half::decode(bits); }
  static FUSEDOPT_INLINE Bits encode(float x, float, uint32_t draw) { return {Half::encode(x, draw), 0}; }
};

// The rounded number, and what the rounding took.
template <class Half>
struct Kahan {
  static constexpr bool scaled = false;
  static constexpr int main = 2, side = 2;
  static FUSEDOPT_INLINE float decode(uint32_t number, uint32_t rest) {
    return Half::decode(number) + Half::decode(rest);
  }
  static FUSEDOPT_INLINE Bits encode(float x, float, uint32_t) {
    const uint32_t number = Half::encode(x);
    return {number, Half::encode(x - Half::decode(number))};
  }
};

// The nearest bfloat16, halves away from zero, and the signed difference of the bits; those that `Low` lacks are
// dropped by chance.
template <class Low>
struct Split {
  static constexpr bool scaled = false;
  static constexpr int main = 2, side = sizeof(Low), dropped = 16 - 8 * side;
  // From here on rounding reaches infinity.
  static constexpr uint32_t beyond = 0x7f7f8000u - (dropped > 0 ? 0x100 : 0);

  static FUSEDOPT_INLINE float decode(uint32_t high, uint32_t low) {
    return bit_cast<float>((high << 16) + (static_cast<uint32_t>(static_cast<Low>(low)) << dropped));
  }
  static FUSEDOPT_INLINE Bits encode(float x, float, uint32_t draw) {
    const uint32_t bits = bits_of(x), rounded = bits + (dropped > 0 ? draw >> 24 : 0);
    if ((bits & kMagnitude) >= beyond) return {BFloat16::truncated(bits), 0};
    return {(rounded + 0x8000) >> 16, rounded >> dropped};
  }
};

// What formats a stream may be in: calls visit with the one, and is false for plain floats.
struct OfGradients {
  template <class Visit>
  static FUSEDOPT_INLINE bool visit(Codec, const Visit&) {
    return false;
  }
};

struct OfStates {
  template <class Visit>
  static FUSEDOPT_INLINE bool visit(Codec codec, const Visit& visit) {
    if (codec == kSigned8Stochastic) return visit(Code<true, true>()), true;
    if (codec == kPositive8Stochastic) return visit(Code<false, true>()), true;
    if (codec == kSigned8) return visit(Code<true, false>()), true;
    if (codec == kPositive8) return visit(Code<false, false>()), true;
    if (codec == kBFloat16Stochastic) return visit(ByChance<BFloat16>()), true;
    return false;
  }
};

struct OfWeights {
  template <class Visit>
  static FUSEDOPT_INLINE bool visit(Codec codec, const Visit& visit) {
    switch (codec) {
      case kBFloat16Stochastic: return visit(ByChance<BFloat16>()), true;
      case kFloat16Stochastic: return visit(ByChance<Float16>()), true;
      case kBFloat16Kahan: return visit(Kahan<BFloat16>()), true;
      case kFloat16Kahan: return visit(Kahan<Float16>()), true;
      case kSplit24: return visit(Split<int8_t>()), true;
      case kSplit32: return visit(Split<int16_t>()), true;
      default: return false;
    }
  }
};

}  // namespace fusedopt::cuda
