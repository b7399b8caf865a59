// The engine for buckets with a stream in a codec: a warp a block of 256 elements. Apart from the engine for plain
// floats, as it takes more registers.
#pragma once
#include <type_traits>

#include "codecs.cuh"
#include "scalars.cuh"
#include "walk.cuh"

namespace fusedopt::cuda {

// The keys of a row's random bits, by stream.
struct Keys {
  uint32_t of[kMaxStreams];

  FUSEDOPT_DEVICE void read(const ScalarTable& table, const Row& row, int stream) {
    const double step = table.values[static_cast<int64_t>(row.scalars) * table.columns + column::step];
    of[stream] = stream_key(static_cast<uint32_t>(static_cast<int64_t>(step)), row.seed, stream);
  }
};

// The scales of a block's new states, found by the lanes together; those of plain floats stay unused.
template <int States>
struct Scales {
  uint32_t largest[States + 1];

  FUSEDOPT_INLINE Scales() {
#pragma unroll
    for (uint32_t& magnitude : largest) magnitude = 0x00800000;
  }
  FUSEDOPT_DEVICE void gather(const Row& row) {
#pragma unroll
    for (int i = 0; i < States; ++i)
      if (has_scale(row, kFirstState + i)) largest[i] = cuda::largest(largest[i]);
  }
  FUSEDOPT_DEVICE void write(const Row& row, int64_t block) const {
#pragma unroll
    for (int i = 0; i < States; ++i)
      if (has_scale(row, kFirstState + i))
        cuda::write(static_cast<uint32_t*>(row.side[kFirstState + i]) + block, largest[i]);
  }
};

// A lane's part of a step: its values in registers.
template <class Rule, class T, int W, int packs>
struct Part {
  const Row& row;
  const Share<W, packs> share;
  Decoded<T, W, packs> g, p, s[Rule::states + 1];

  FUSEDOPT_INLINE void read() {
    Stored<packs> stored[kFirstState + Rule::states];
    each_stream([&](auto formats, int stream, auto&) {  // all in flight before the first is used
      stored[stream] = load_stream<decltype(formats)>(row, stream, share);
    });
    each_stream([&](auto formats, int stream, auto& values) {
      decode_stream<decltype(formats)>(stored[stream], row.codec(stream), values);
    });
  }

  FUSEDOPT_INLINE void update(const Scalars<Rule, T>& k) {
    each_value(p, [&](T& x, int pack, int e) {
      T state[Rule::states + 1];
#pragma unroll
      for (int i = 0; i < Rule::states; ++i) state[i] = s[i].pack[pack][e];
      cuda::update(k, g.pack[pack][e], x, state);
#pragma unroll
      for (int i = 0; i < Rule::states; ++i) s[i].pack[pack][e] = state[i];
    });
  }

  FUSEDOPT_INLINE void measure(Scales<Rule::states>& scales) {
#pragma unroll
    for (int i = 0; i < Rule::states; ++i)
      if (has_scale(row, kFirstState + i)) scales.largest[i] = largest_of(share, s[i], scales.largest[i]);
  }

  FUSEDOPT_INLINE void write(const Keys& keys, const Scales<Rule::states>& scales) {
    each_stream([&](auto formats, int stream, auto& values) {
      if (stream == kGrad) return;
      const float scale = stream < kFirstState ? 1 : bit_cast<float>(scales.largest[stream - kFirstState]);
      store_stream<decltype(formats)>(row, stream, keys.of[stream], scale, share, values);
    });
  }

 private:
  // Visits what formats it may be in, its number in the row, and its values.
  template <class Visit>
  FUSEDOPT_INLINE void each_stream(const Visit& visit) {
    using Weights = std::conditional_t<sizeof(T) == 8, OfGradients, OfWeights>;  // doubles are stored as they are
    visit(OfGradients(), kGrad, g);
    visit(Weights(), kParam, p);
#pragma unroll
    for (int i = 0; i < Rule::states; ++i) visit(OfStates(), kFirstState + i, s[i]);
  }
};

// One lane's share of a block.
template <class Rule, class T>
struct Block {
  const Row& row;
  const Scalars<Rule, T>& k;
  const Keys& keys;
  const int64_t begin, end;
  const int lane;

  // Of all 256 elements, in packs of W.
  template <int W>
  FUSEDOPT_DEVICE void step_whole() const {
    constexpr int packs = kBlock8 / 32 / W;
    Scales<Rule::states> scales;
    Part<Rule, T, W, packs> part{row, {begin, end, lane}};
    part.read();
    part.update(k);
    part.measure(scales);
    scales.gather(row);
    part.write(keys, scales);
    if (lane == 0) scales.write(row, begin / kBlock8);
  }

  // Of any number, one by one, twice: the first time to find the scales.
  FUSEDOPT_DEVICE void step_ragged() const {
    Scales<Rule::states> scales;
    each_element([&](auto& part) { part.measure(scales); });
    scales.gather(row);
    each_element([&](auto& part) { part.write(keys, scales); });
    warp_barrier();  // all have read the old scales
    if (lane == 0) scales.write(row, begin / kBlock8);
  }

 private:
  template <class Visit>
  FUSEDOPT_DEVICE void each_element(const Visit& visit) const {
#pragma unroll 1
    for (int64_t at = begin; at < end; at += 32) {
      Part<Rule, T, 1, 1> part{row, {at, end, lane}};
      part.read();
      part.update(k);
      visit(part);
    }
  }
};

// Elements of a pack of whole blocks. Tensors must be aligned for more than one, and so those on the side; doubles go
// one by one.
template <class T, int Streams>
FUSEDOPT_INLINE int coded_width(const Row& row) {
  if constexpr (sizeof(T) == 8) return 1;
  uintptr_t beside = 0;
#pragma unroll
  for (int s = kParam; s < Streams; ++s) beside |= reinterpret_cast<uintptr_t>(row.side[s]);
  return beside % 16 == 0 ? pack_width<T, Streams>(row) : 1;
}

// One thread's share of a chunk; its warp stays together.
template <class Rule, class T>
FUSEDOPT_DEVICE void step_blocks(const Span& span, const Scalars<Rule, T>& k, const Keys& keys, int thread) {
  const int width = coded_width<T, kFirstState + Rule::states>(span.row);
  for (int64_t begin = span.begin + thread / 32 * kBlock8; begin < span.end; begin += kThreads / 32 * kBlock8) {
    const bool whole = span.end - begin >= kBlock8;
    const Block<Rule, T> block{span.row, k, keys, begin, whole ? begin + kBlock8 : span.end, thread % 32};
    if constexpr (sizeof(T) == 8)
      block.step_ragged();
    else if (width == 8 && whole)
      block.template step_whole<8>();
    else if (width == 4 && whole)
      block.template step_whole<4>();
    else
      block.step_ragged();
  }
}

#ifdef __CUDACC__
// As many blocks on a multiprocessor as leave registers for eight elements of every stream.
template <class Rule>
constexpr int kCodedResident = Rule::states <= 2 ? 3 : 2;

template <class Rule, class T>
__global__ void __launch_bounds__(kThreads, kCodedResident<Rule>)
    coded_kernel(const Work work, const ScalarTable table) {
  __shared__ Span span;
  __shared__ Scalars<Rule, T> k;
  __shared__ Keys keys;
  for (int chunk = blockIdx.x; chunk < work.count; chunk += gridDim.x) {
    const Row& row = span.read(work, chunk, threadIdx.x);
    if (threadIdx.x < kMaxStreams) keys.read(table, row, threadIdx.x);
    if (threadIdx.x == 64) k.read(table, row.scalars);
    __syncthreads();
    step_blocks(span, k, keys, threadIdx.x);
    __syncthreads();
  }
}
#endif

}  // namespace fusedopt::cuda
