// Vectors of 32-bit lanes to and from bytes, by way of 16-bit lanes: two Vec<float> make one Halves, two of these 32,
// 64 or 128 bytes. Portable conversions compile to element moves, so x86 has its own.
#pragma once
#include "vec.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace fusedopt::FUSEDOPT_ISA {

typedef int16_t Halves __attribute__((vector_size(kVectorBytes)));
typedef Registers<float>::Lanes Floats;
typedef Registers<float>::Bits Words;
typedef Registers<float>::Unsigned Unsigned;
constexpr int kHalves = kVectorBytes / 2;

#if defined(__AVX512BW__)

// x86 packs and unpacks within 128 bits; the bytes are permuted in fours, so that elements keep their order.
FUSEDOPT_INLINE __m256i fours(const void* from) {
  return _mm256_permutevar8x32_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(from)),
                                     _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
FUSEDOPT_INLINE void store_fours(void* to, __m512i bytes) {
  const Words x = (Words)bytes;
  const Words y = __builtin_shufflevector(x, x, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  std::memcpy(to, &y, sizeof(y));
}
FUSEDOPT_INLINE Halves widened(const int8_t* from) { return (Halves)_mm512_cvtepi8_epi16(fours(from)); }
FUSEDOPT_INLINE Halves widened(const uint8_t* from) { return (Halves)_mm512_cvtepu8_epi16(fours(from)); }
FUSEDOPT_INLINE Floats low_floats(Halves x) { return (Floats)_mm512_unpacklo_epi16(__m512i{}, (__m512i)x); }
FUSEDOPT_INLINE Floats high_floats(Halves x) { return (Floats)_mm512_unpackhi_epi16(__m512i{}, (__m512i)x); }
FUSEDOPT_INLINE Halves packed(Words a, Words b) { return (Halves)_mm512_packs_epi32((__m512i)a, (__m512i)b); }
FUSEDOPT_INLINE void store(uint16_t* to, Halves x) {
  const auto y = (long long __attribute__((vector_size(64))))x;
  const auto z = __builtin_shufflevector(y, y, 0, 2, 4, 6, 1, 3, 5, 7);
  std::memcpy(to, &z, sizeof(z));
}
FUSEDOPT_INLINE void store(int8_t* to, Halves a, Halves b) {
  store_fours(to, _mm512_packs_epi16((__m512i)a, (__m512i)b));
}
FUSEDOPT_INLINE void store(uint8_t* to, Halves a, Halves b) {
  store_fours(to, _mm512_packus_epi16((__m512i)a, (__m512i)b));
}

#elif defined(__AVX2__)

FUSEDOPT_INLINE __m128i fours(const void* from) {
  return _mm_shuffle_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)), 0xD8);
}
FUSEDOPT_INLINE void store_fours(void* to, __m256i bytes) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(static_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(bytes, order));
}
FUSEDOPT_INLINE Halves widened(const int8_t* from) { return (Halves)_mm256_cvtepi8_epi16(fours(from)); }
FUSEDOPT_INLINE Halves widened(const uint8_t* from) { return (Halves)_mm256_cvtepu8_epi16(fours(from)); }
FUSEDOPT_INLINE Floats low_floats(Halves x) { return (Floats)_mm256_unpacklo_epi16(__m256i{}, (__m256i)x); }
FUSEDOPT_INLINE Floats high_floats(Halves x) { return (Floats)_mm256_unpackhi_epi16(__m256i{}, (__m256i)x); }
FUSEDOPT_INLINE Halves packed(Words a, Words b) { return (Halves)_mm256_packs_epi32((__m256i)a, (__m256i)b); }
FUSEDOPT_INLINE void store(uint16_t* to, Halves x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64((__m256i)x, 0xD8));
}
FUSEDOPT_INLINE void store(int8_t* to, Halves a, Halves b) {
  store_fours(to, _mm256_packs_epi16((__m256i)a, (__m256i)b));
}
FUSEDOPT_INLINE void store(uint8_t* to, Halves a, Halves b) {
  store_fours(to, _mm256_packus_epi16((__m256i)a, (__m256i)b));
}

#elif defined(__SSE2__)

FUSEDOPT_INLINE __m128i eight(const void* from) { return _mm_loadl_epi64(static_cast<const __m128i*>(from)); }
FUSEDOPT_INLINE Halves widened(const int8_t* from) {
  return (Halves)_mm_srai_epi16(_mm_unpacklo_epi8(__m128i{}, eight(from)), 8);
}
FUSEDOPT_INLINE Halves widened(const uint8_t* from) { return (Halves)_mm_unpacklo_epi8(eight(from), __m128i{}); }
FUSEDOPT_INLINE Floats low_floats(Halves x) { return (Floats)_mm_unpacklo_epi16(__m128i{}, (__m128i)x); }
FUSEDOPT_INLINE Floats high_floats(Halves x) { return (Floats)_mm_unpackhi_epi16(__m128i{}, (__m128i)x); }
FUSEDOPT_INLINE Halves packed(Words a, Words b) { return (Halves)_mm_packs_epi32((__m128i)a, (__m128i)b); }
FUSEDOPT_INLINE void store(uint16_t* to, Halves x) { std::memcpy(to, &x, sizeof(x)); }
FUSEDOPT_INLINE void store(int8_t* to, Halves a, Halves b) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packs_epi16((__m128i)a, (__m128i)b));
}
FUSEDOPT_INLINE void store(uint8_t* to, Halves a, Halves b) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packus_epi16((__m128i)a, (__m128i)b));
}

#else

template <class Byte>
FUSEDOPT_INLINE Halves widened(const Byte* from) {
  Halves x;
  for (int i = 0; i < kHalves; ++i) x[i] = from[i];
  return x;
}
FUSEDOPT_INLINE Floats top_halves(const int16_t* from) {
  Words x;
  for (int i = 0; i < kHalves / 2; ++i) x[i] = from[i];
  return (Floats)(x << 16);
}
FUSEDOPT_INLINE Floats low_floats(Halves x) { return top_halves(reinterpret_cast<const int16_t*>(&x)); }
FUSEDOPT_INLINE Floats high_floats(Halves x) { return top_halves(reinterpret_cast<const int16_t*>(&x) + kHalves / 2); }
FUSEDOPT_INLINE Halves packed(Words a, Words b) {
  Halves x;
  for (int i = 0; i < kHalves / 2; ++i)
    x[i] = static_cast<int16_t>(a[i]), x[kHalves / 2 + i] = static_cast<int16_t>(b[i]);
  return x;
}
FUSEDOPT_INLINE void store(uint16_t* to, Halves x) { std::memcpy(to, &x, sizeof(x)); }
template <class Byte>
FUSEDOPT_INLINE void store(Byte* to, Halves a, Halves b) {
  constexpr int least = sizeof(Byte) == 1 && Byte(-1) < 0 ? -128 : 0, most = least + 255;
  for (int i = 0; i < kHalves; ++i) {
    to[i] = static_cast<Byte>(a[i] < least ? least : a[i] > most ? most : a[i]);
    to[kHalves + i] = static_cast<Byte>(b[i] < least ? least : b[i] > most ? most : b[i]);
  }
}

#endif

}  // namespace fusedopt::FUSEDOPT_ISA
