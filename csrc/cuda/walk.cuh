// How a block's threads share a chunk; the same for every kernel, and for a host that plays all threads in turn.
#pragma once
#include "access.cuh"
#include "launch.h"
#include "threads.cuh"

namespace fusedopt::cuda {

// The elements [begin, end) of a row: one chunk, looked up.
struct Span {
  Row row;
  int64_t begin, end;

  // By all threads of a block; gives where the row is in global memory.
  FUSEDOPT_DEVICE const Row& read(const Work& work, int chunk, int thread) {
    const Chunk at = work.chunks[chunk];
    const Row& from = work.rows[at.row];
    copy_words(&row, &from, thread);
    if (thread == 0) {
      begin = at.index * kChunk;
      end = begin + kChunk < from.numel ? begin + kChunk : from.numel;
    }
    return from;
  }
};

// As many elements as fit 16 bytes of the widest stream, so that each access of a warp covers whole contiguous sectors;
// eight fp32 a thread would be two accesses of stride 32, each touching twice the sectors it needs.
template <class T, int Streams>
FUSEDOPT_INLINE int pack_width(const Row& row) {
  int widest = sizeof(T) == 8 ? 8 : 2;
  uintptr_t addresses = 0;
#pragma unroll
  for (int s = 0; s < Streams; ++s) {
    widest = size_of(row.codec(s)) > widest ? size_of(row.codec(s)) : widest;
    addresses |= reinterpret_cast<uintptr_t>(row.stream[s]);
  }
  return addresses % 16 == 0 && widest <= static_cast<int>(sizeof(T)) ? 16 / widest : 1;
}

template <int W>
struct Width {
  static constexpr int value = W;
};

template <int W, class Visit>
FUSEDOPT_INLINE void each_pack(int64_t begin, int64_t end, int thread, const Visit& visit) {
  for (int64_t element = begin + W * thread; element < end; element += W * kThreads) visit(Width<W>{}, element);
}

// Visits this thread's packs of the span. What is left over at the end of a tensor, or all of one with a misaligned
// stream, goes element by element, neighbours to neighbouring threads.
template <class T, int Streams, class Visit>
FUSEDOPT_INLINE void walk(const Span& span, int thread, const Visit& visit) {
  const int width = pack_width<T, Streams>(span.row);
  const int64_t packed = width == 1 ? span.begin : span.end & -int64_t{width};
  if constexpr (sizeof(T) == 4) {
    if (width == 8) each_pack<8>(span.begin, packed, thread, visit);
    if (width == 4) each_pack<4>(span.begin, packed, thread, visit);
  } else {
    if (width == 2) each_pack<2>(span.begin, packed, thread, visit);
  }
  each_pack<1>(packed, span.end, thread, visit);
}

}  // namespace fusedopt::cuda
