// Packs: W consecutive elements of one stream, moved by a single access of at most 16 bytes and decoded in registers.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector_types.h>

#include <cstring>

#include "../math.h"
#include "../row.h"

namespace fusedopt::cuda {

FUSEDOPT_INLINE int size_of(Codec dtype) { return dtype == kFloat64 ? 8 : dtype == kFloat32 ? 4 : 2; }

template <class To, class From>
FUSEDOPT_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

// Evict-first where a step touches each byte once, or for the last time; what a later sweep reads again is kept. The
// intrinsics also say that the memory is global, which a Row cannot.
enum class Use { last, again };

#ifndef __CUDACC__
inline bool misaligned = false;  // whether a host has played an access that a GPU could not make

template <class Word>
void check_alignment(const void* address) {
  misaligned = misaligned || reinterpret_cast<uintptr_t>(address) % sizeof(Word) != 0;
}
#endif

template <class Word, Use use = Use::last>
FUSEDOPT_INLINE Word read(const void* from) {
#ifdef __CUDA_ARCH__
  return use == Use::last ? __ldcs(static_cast<const Word*>(from)) : __ldca(static_cast<const Word*>(from));
#else
#ifndef __CUDACC__
  check_alignment<Word>(from);
#endif
  return *static_cast<const Word*>(from);
#endif
}

template <class Word>
FUSEDOPT_INLINE void write(void* to, Word word) {
#ifdef __CUDA_ARCH__
  __stcs(static_cast<Word*>(to), word);
#else
#ifndef __CUDACC__
  check_alignment<Word>(to);
#endif
  *static_cast<Word*>(to) = word;
#endif
}

// A pack as it is stored; words beyond its size are unused.
struct Raw {
  uint32_t word[4];
};

template <int Bytes, Use use = Use::last>
FUSEDOPT_INLINE Raw load(const void* from) {
  if constexpr (Bytes == 16) {
    const uint4 x = read<uint4, use>(from);
    return {x.x, x.y, x.z, x.w};
  } else if constexpr (Bytes == 8) {
    const uint2 x = read<uint2, use>(from);
    return {x.x, x.y};
  } else if constexpr (Bytes == 4) {
    return {read<unsigned int, use>(from)};
  } else if constexpr (Bytes == 2) {
    return {read<unsigned short, use>(from)};
  } else {
    return {read<unsigned char, use>(from)};
  }
}

template <int Bytes>
FUSEDOPT_INLINE void store(void* to, const Raw& raw) {
  if constexpr (Bytes == 16) {
    write(to, uint4{raw.word[0], raw.word[1], raw.word[2], raw.word[3]});
  } else if constexpr (Bytes == 8) {
    write(to, uint2{raw.word[0], raw.word[1]});
  } else if constexpr (Bytes == 4) {
    write<unsigned int>(to, raw.word[0]);
  } else if constexpr (Bytes == 2) {
    write(to, static_cast<unsigned short>(raw.word[0]));
  } else {
    write(to, static_cast<unsigned char>(raw.word[0]));
  }
}

// Whether W elements of so many bytes make one access.
template <int Bytes, int W>
constexpr bool fits = Bytes * W <= 16;

template <int W, Use use = Use::last>
FUSEDOPT_INLINE Raw load(const void* stream, Codec dtype, int64_t element) {
  const int size = size_of(dtype);
  const char* from = static_cast<const char*>(stream) + element * size;
  if constexpr (fits<8, W>)
    if (size == 8) return load<8 * W, use>(from);
  if constexpr (fits<4, W>)
    if (size == 4) return load<4 * W, use>(from);
  return load<2 * W, use>(from);
}

template <int W>
FUSEDOPT_INLINE void store(void* stream, Codec dtype, int64_t element, const Raw& raw) {
  const int size = size_of(dtype);
  char* to = static_cast<char*>(stream) + element * size;
  if constexpr (fits<8, W>)
    if (size == 8) return store<8 * W>(to, raw);
  if constexpr (fits<4, W>)
    if (size == 4) return store<4 * W>(to, raw);
  store<2 * W>(to, raw);
}

template <class T, int W>
FUSEDOPT_INLINE void decode(const Raw& raw, Codec dtype, T (&to)[W]) {
  const auto half = [&](int i) { return static_cast<unsigned short>(raw.word[i / 2] >> (16 * (i % 2))); };
  if constexpr (fits<8, W>)
    if (dtype == kFloat64) {
#pragma unroll
      for (int i = 0; i < W; ++i)
        to[i] = static_cast<T>(bit_cast<double>(uint64_t{raw.word[2 * i + 1]} << 32 | raw.word[2 * i]));
      return;
    }
  if constexpr (fits<4, W>)
    if (dtype == kFloat32) {
#pragma unroll
      for (int i = 0; i < W; ++i) to[i] = bit_cast<float>(raw.word[i]);
      return;
    }
  if (dtype == kBFloat16) {
#pragma unroll
    for (int i = 0; i < W; ++i) to[i] = bit_cast<float>(uint32_t{half(i)} << 16);
  } else {
#pragma unroll
    for (int i = 0; i < W; ++i) to[i] = __half2float(__ushort_as_half(half(i)));
  }
}

template <class T, int W>
FUSEDOPT_INLINE Raw encode(const T (&from)[W], Codec dtype) {
  Raw raw = {};
  if constexpr (fits<8, W>)
    if (dtype == kFloat64) {
#pragma unroll
      for (int i = 0; i < W; ++i) {
        const auto bits = bit_cast<uint64_t>(static_cast<double>(from[i]));
        raw.word[2 * i] = static_cast<uint32_t>(bits);
        raw.word[2 * i + 1] = static_cast<uint32_t>(bits >> 32);
      }
      return raw;
    }
  if constexpr (fits<4, W>)
    if (dtype == kFloat32) {
#pragma unroll
      for (int i = 0; i < W; ++i) raw.word[i] = bit_cast<uint32_t>(static_cast<float>(from[i]));
      return raw;
    }
#pragma unroll
  for (int i = 0; i < W; i += 2) {
    const float low = static_cast<float>(from[i]), high = i + 1 < W ? static_cast<float>(from[i + 1]) : 0.0f;
    raw.word[i / 2] = dtype == kBFloat16 ? bit_cast<uint32_t>(__floats2bfloat162_rn(low, high))
                                         : bit_cast<uint32_t>(__floats2half2_rn(low, high));
  }
  return raw;
}

}  // namespace fusedopt::cuda
