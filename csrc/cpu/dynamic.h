// bitsandbytes' eight-bit codes: the nearest of 256 values of a dynamic tree, the lower in a tie.
#pragma once
#include "../rules/dynamic_tree.h"
#include "minifloat.h"

namespace fusedopt::FUSEDOPT_ISA {

// How many values are below x, counting halfway; by bisection, which is the same for every ISA.
inline uint8_t nearest_code(const float* values, float x) {
  int code = 0;
  for (int step = 128; step > 0; step /= 2)
    if (code + step < 256 && x > (values[code + step - 1] + values[code + step]) / 2) code += step;
  return static_cast<uint8_t>(x != x ? 255 : code);
}

template <class T>
void decode_dynamic(T* to, const float* values, Place from, int count) {
  for (int i = 0; i < count; i += kBlock8, from.advance(kBlock8))
    for (int j = i; j < std::min(i + kBlock8, count); ++j)
      to[j] = static_cast<T>(values[from.at<uint8_t>()[j - i]] * from.scale());
}

template <class T>
void encode_dynamic(const T* from, const float* values, Place to, int count) {
  for (int i = 0; i < count; i += kBlock8, to.advance(kBlock8)) {
    const int part = std::min(kBlock8, count - i);
    float padded[kBlock8] = {};
    const float* x = floats(from + i, part, padded);
    if (x != padded) std::copy_n(x, part, padded);
    to.scale() = block_scale<int8_t>(padded);
    const float inverse = 1 / to.scale();
    for (int j = 0; j < part; ++j) to.at<uint8_t>()[j] = nearest_code(values, padded[j] * inverse);
  }
}

}  // namespace fusedopt::FUSEDOPT_ISA
