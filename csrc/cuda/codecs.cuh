// Streams in any codec: a warp takes a block of 256 elements, which share a scale and a start of the random bits.
#pragma once
#include "../random.h"
#include "formats.cuh"

namespace fusedopt::cuda {

FUSEDOPT_INLINE bool has_scale(const Row& row, int stream) {
  return row.codec(stream) >= kSigned8 && row.codec(stream) <= kPositive8Stochastic;
}

// What a lane has of a block, or of a part of it: packs of W elements, 32 * W apart, so that each access of the warp
// covers whole contiguous sectors.
template <int W, int Packs>
struct Share {
  static constexpr int packs = Packs;
  int64_t begin, end;  // of the block or part; packs of one element may lie beyond its end
  int lane;

  FUSEDOPT_INLINE int64_t block() const { return begin >> 8; }
  FUSEDOPT_INLINE int64_t element(int pack) const { return begin + (pack * 32 + lane) * W; }
  FUSEDOPT_INLINE bool has(int pack) const { return W > 1 || element(pack) < end; }
};

template <class T, int W, int packs>
struct Decoded {
  T pack[packs][W];
};

// A stream as it is stored, with what is on the side: a pair's second tensor, or the scale of codes.
template <int packs>
struct Stored {
  Raw main[packs], side[packs];
  uint32_t scale;
};

// Visits values with the number of their pack and their number in it.
template <class T, int W, int packs, class Visit>
FUSEDOPT_INLINE void each_value(Decoded<T, W, packs>& values, const Visit& visit) {
#pragma unroll
  for (int pack = 0; pack < packs; ++pack)
#pragma unroll
    for (int e = 0; e < W; ++e) visit(values.pack[pack][e], pack, e);
}

template <int size, int W, int packs>
FUSEDOPT_INLINE void load_packs(const void* stream, const Share<W, packs>& share, Raw (&to)[packs]) {
  if constexpr (size > 0 && fits<size, W>)
#pragma unroll
    for (int pack = 0; pack < packs; ++pack)
      if (share.has(pack)) to[pack] = load<size * W>(static_cast<const char*>(stream) + size * share.element(pack));
}
template <int W, int packs>
FUSEDOPT_INLINE void load_floats(const void* stream, Codec dtype, const Share<W, packs>& share, Raw (&to)[packs]) {
  const int size = size_of(dtype);
  if (size == 2) return load_packs<2>(stream, share, to);
  if (size == 4) return load_packs<4>(stream, share, to);
  load_packs<8>(stream, share, to);
}

template <int size, int W, int packs>
FUSEDOPT_INLINE void store_packs(void* stream, const Share<W, packs>& share, const Raw (&from)[packs]) {
  if constexpr (size > 0 && fits<size, W>)
#pragma unroll
    for (int pack = 0; pack < packs; ++pack)
      if (share.has(pack)) store<size * W>(static_cast<char*>(stream) + size * share.element(pack), from[pack]);
}
template <int W, int packs>
FUSEDOPT_INLINE void store_floats(void* stream, Codec dtype, const Share<W, packs>& share, const Raw (&from)[packs]) {
  const int size = size_of(dtype);
  if (size == 2) return store_packs<2>(stream, share, from);
  if (size == 4) return store_packs<4>(stream, share, from);
  store_packs<8>(stream, share, from);
}

// Element e of a pack whose elements are `size` bytes long.
template <int size>
FUSEDOPT_INLINE uint32_t element_of(const Raw& raw, int e) {
#ifdef __CUDA_ARCH__
  if (size == 1) return __byte_perm(raw.word[e / 4], 0, 0x4440 + e % 4);
#endif
  return size == 1 ? raw.word[e / 4] >> (8 * (e % 4)) & 0xff : raw.word[e / 2] >> (16 * (e % 2)) & 0xffff;
}
template <int size>
FUSEDOPT_INLINE void add_element(Raw& raw, int e, uint32_t bits) {
  if constexpr (size == 1) raw.word[e / 4] |= (bits & 0xff) << (8 * (e % 4));
  if constexpr (size == 2) raw.word[e / 2] |= (bits & 0xffff) << (16 * (e % 2));
}

// `Formats`: what the stream may be in.
template <class Formats, int W, int packs>
FUSEDOPT_INLINE Stored<packs> load_stream(const Row& row, int stream, const Share<W, packs>& share) {
  Stored<packs> from = {};
  const bool has_format = Formats::visit(row.codec(stream), [&](auto format) {
    load_packs<format.main>(row.stream[stream], share, from.main);
    load_packs<format.side>(row.side[stream], share, from.side);
    if (format.scaled) from.scale = read<uint32_t>(static_cast<const uint32_t*>(row.side[stream]) + share.block());
  });
  if (!has_format) load_floats(row.stream[stream], row.codec(stream), share, from.main);
  return from;
}

template <class Formats, class T, int W, int packs>
FUSEDOPT_INLINE void decode_stream(const Stored<packs>& from, Codec codec, Decoded<T, W, packs>& to) {
  const bool has_format = Formats::visit(codec, [&](auto format) {
    each_value(to, [&](T& x, int pack, int e) {
      const uint32_t side = format.scaled ? from.scale : element_of<format.side>(from.side[pack], e);
      x = static_cast<T>(format.decode(element_of<format.main>(from.main[pack], e), side));
    });
  });
  if (has_format) return;
#pragma unroll
  for (int pack = 0; pack < packs; ++pack) decode(from.main[pack], codec, to.pack[pack]);
}

// The largest magnitude as an integer, among which NaN is the largest; at least the smallest normal number, whose
// inverse is finite.
template <class T, int W, int packs>
FUSEDOPT_INLINE uint32_t largest_of(const Share<W, packs>& share, Decoded<T, W, packs>& values, uint32_t largest) {
  each_value(values, [&](T x, int pack, int) {
    const uint32_t magnitude = share.has(pack) ? bits_of(static_cast<float>(x)) & kMagnitude : 0;
    largest = magnitude > largest ? magnitude : largest;
  });
  return largest;
}

// `key`: of the stream's random bits.
template <class Format, class T, int W, int packs>
FUSEDOPT_INLINE void store_format(const Row& row, int stream, uint32_t key, float scale, const Share<W, packs>& share,
                                  Decoded<T, W, packs>& from) {
  Stored<packs> to = {};
  const float inverse = Format::scaled ? 1 / scale : 1;
  const uint32_t first =
      block_start(key, share.block()) + kGolden * (static_cast<uint32_t>(share.element(0)) % kBlock8);
  each_value(from, [&](T x, int pack, int e) {
    const uint32_t draw = first + kGolden * static_cast<uint32_t>(32 * W * pack + e);
    const Bits bits = Format::encode(static_cast<float>(x), inverse, draw);
    add_element<Format::main>(to.main[pack], e, bits.main);
    add_element<Format::side>(to.side[pack], e, bits.side);
  });
  store_packs<Format::main>(row.stream[stream], share, to.main);
  store_packs<Format::side>(row.side[stream], share, to.side);
}

template <class Formats, class T, int W, int packs>
FUSEDOPT_INLINE void store_stream(const Row& row, int stream, uint32_t key, float scale, const Share<W, packs>& share,
                                  Decoded<T, W, packs>& from) {
  const Codec codec = row.codec(stream);
  const bool has_format =
      Formats::visit(codec, [&](auto format) { store_format<decltype(format)>(row, stream, key, scale, share, from); });
  if (has_format) return;
  Raw raw[packs];
#pragma unroll
  for (int pack = 0; pack < packs; ++pack) raw[pack] = encode(from.pack[pack], codec);
  store_floats(row.stream[stream], codec, share, raw);
}

}  // namespace fusedopt::cuda
