// Packs that may be cut off at the end of a row, or misaligned; and packs of signs, which are bits.
#pragma once
#include "access.cuh"
#include "threads.cuh"

namespace fusedopt::cuda {

// Element e of a pack that is put together or taken apart, its elements `size` bytes long.
template <int W>
FUSEDOPT_DEVICE void place(Raw& raw, int size, int e, const Raw& one) {
#pragma unroll
  for (int i = 0; i < W; ++i) {
    if (i != e) continue;
    if (size == 2) raw.word[i / 2] |= one.word[0] << (16 * (i % 2));
    if (size == 4) raw.word[i] = one.word[0];
    if constexpr (fits<8, W>)
      if (size == 8) raw.word[2 * i] = one.word[0], raw.word[2 * i + 1] = one.word[1];
  }
}

template <int W>
FUSEDOPT_DEVICE Raw taken(const Raw& raw, int size, int e) {
  Raw one = {};
#pragma unroll
  for (int i = 0; i < W; ++i) {
    if (i != e) continue;
    one.word[0] = size == 2 ? raw.word[i / 2] >> (16 * (i % 2)) : raw.word[i];
    if constexpr (fits<8, W>)
      if (size == 8) one = {raw.word[2 * i], raw.word[2 * i + 1]};
  }
  return one;
}

// The first `inside` elements of a pack; `whole`: all or none of them, in one access.
template <int W, bool whole, Use use>
FUSEDOPT_DEVICE Raw load_pack(const void* stream, Codec dtype, int64_t element, int inside) {
  Raw raw = {};
  if constexpr (whole) {
    if (inside > 0) raw = load<W, use>(stream, dtype, element);
  } else {
    for (int e = 0; e < inside; ++e) place<W>(raw, size_of(dtype), e, load<1, use>(stream, dtype, element + e));
  }
  return raw;
}

template <int W, bool whole, class T>
FUSEDOPT_DEVICE void store_pack(void* stream, Codec dtype, int64_t element, int inside, const T (&from)[W]) {
  const Raw raw = encode(from, dtype);
  if constexpr (whole) {
    if (inside > 0) store<W>(stream, dtype, element, raw);
  } else {
    for (int e = 0; e < inside; ++e) store<1>(stream, dtype, element + e, taken<W>(raw, size_of(dtype), e));
  }
}

// Signs of the pack that begins at this bit.
FUSEDOPT_DEVICE Raw load_signs(const void* stream, int64_t bit, int inside) {
  if (inside == 0) return {};
  return {static_cast<uint32_t>(read<unsigned char>(static_cast<const unsigned char*>(stream) + (bit >> 3))) >>
          (bit & 7)};
}

template <class T, int W>
FUSEDOPT_DEVICE void decode_signs(const Raw& raw, T (&to)[W]) {
#pragma unroll
  for (int e = 0; e < W; ++e) to[e] = raw.word[0] >> e & 1 ? T(1) : T(-1);
}

// Every thread of a warp comes here, as neighbours make a byte together.
template <class T, int W>
FUSEDOPT_DEVICE void store_signs(void* stream, int64_t bit, int inside, const T (&from)[W]) {
  int bits = 0;
#pragma unroll
  for (int e = 0; e < W; ++e) bits |= (e < inside && from[e] > 0 ? 1 : 0) << e;
  bits <<= bit & 7;
#pragma unroll
  for (int mask = 1; mask < 8 / W; mask *= 2) bits |= exchange(bits, mask);
  if (inside > 0 && (bit & 7) == 0)
    write(static_cast<unsigned char*>(stream) + (bit >> 3), static_cast<unsigned char>(bits));
}

}  // namespace fusedopt::cuda
