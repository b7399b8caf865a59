// Sixteen-bit floats to and from float, with integer instructions that the compiler vectorises.
#pragma once
#include <cstdint>

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

}  // namespace fusedopt::FUSEDOPT_ISA
