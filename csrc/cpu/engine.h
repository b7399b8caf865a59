// The block engine: decode a block of every stream, run modifiers and rule on vectors, encode. It knows no rule.
#pragma once
#include "../rules/layout.h"
#include "../rules/modifiers.h"
#include "kernels.h"
#include "vec.h"
#include "watch.h"

namespace fusedopt::FUSEDOPT_ISA {

constexpr int kBlock = 512;  // elements; all streams of a block stay in the first-level cache

template <class T>
constexpr Codec kNative = sizeof(T) == 8 ? kFloat64 : kFloat32;

// One tensor's block in the arithmetic type: the tensor's own memory where that serves, else a decoded copy.
template <class T, int Size>
class Stream {
 public:
  T* open(const Place& place, int count) {
    if (place.codec == kNative<T>) return place.at<T>();
    decode_block(buffer_, place, count);
    return buffer_;
  }
  // Whole vectors: a copy of a block that ends within one.
  T* open_padded(const Place& place, int count) {
    if (count % Vec<T>::lanes == 0) return open(place, count);
    decode_block(buffer_, place, count);
    for (int i = count; i % Vec<T>::lanes; ++i) buffer_[i] = 0;
    return buffer_;
  }
  void close(const T* at, const Place& place, int count) const {
    if (at == buffer_) encode_block(buffer_, place, count);
  }

 private:
  alignas(64) T buffer_[Size];
};

// The streams of one tensor in this step.
class Places {
 public:
  Places(const Row& row, const double* scalars) {
    const auto step = static_cast<uint32_t>(static_cast<int64_t>(scalars[column::step]));
    for (int s = 0; s < kMaxStreams; ++s) {
      const Codec codec = row.codec(s);
      place_[s] = {row.stream[s], row.side[s], codec, 0, 0, codec > kBits ? stream_key(step, row.seed, s) : 0};
    }
  }
  Place at(int s, int64_t offset, int64_t block) const {
    Place place = place_[s];
    place.offset = offset, place.block = block;
    return place;
  }

 private:
  Place place_[kMaxStreams];
};

// What all rules have in common: the engine's own scalars of one row, spread over vectors, and its stages.
template <class T>
struct Header {
  using F = Vec<T>;
  bool has_l2, has_decay, is_cautious;
  F lr, sign, weight, decay;

  Header(const double* row, double coefficient)
      : has_l2(row[column::l2] != 0), has_decay(row[column::decay] != 0), is_cautious(row[column::cautious] != 0),
        lr(row[column::lr]), sign(static_cast<T>(row[column::gradient_sign]) * static_cast<T>(coefficient)),
        weight(row[column::l2]), decay(row[column::decay]) {}

  FUSEDOPT_INLINE F gradient(F g, F p) const {
    g = sign * g;
    return has_l2 ? l2(g, p, weight) : g;
  }
  // The parameter after a step in direction u, which a whole rule gives itself.
  template <class Rule>
  FUSEDOPT_INLINE F stepped(F u, F g, F p) const {
    if constexpr (Rule::whole) return u;
    if (is_cautious) u = cautious(u, g);
    const F step = lr * u;
    return p - (has_decay ? decoupled(step, p, decay) : step);
  }
};

template <class Rule, class T>
struct Scalars : Header<T> {
  Vec<T> rule[Rule::scalars + 1];

  Scalars(const double* row, double coefficient) : Header<T>(row, coefficient) {
    for (int i = 0; i < Rule::scalars; ++i) rule[i] = Vec<T>(row[column::count + i]);
  }
};

// One vector of every stream, at element i.
template <class Rule, class T>
FUSEDOPT_INLINE void update(const Scalars<Rule, T>& k, T* const* at, int i) {
  using F = Vec<T>;
  F s[Rule::states + 1];
  for (int n = 0; n < Rule::states; ++n) s[n] = F::load(at[kFirstState + n] + i);
  const F p = F::load(at[kParam] + i);
  const F g = k.gradient(F::load(at[kGrad] + i), p);
  const F u = Rule::template update<F>(g, p, s, k.rule);
  k.template stepped<Rule>(u, g, p).store(at[kParam] + i);
  for (int n = 0; n < Rule::states; ++n) s[n].store(at[kFirstState + n] + i);
}

template <class Rule, class T>
void step_chunk(const Scalars<Rule, T>& k, Stream<T, kBlock>* stream, const Places& places, const Chunk& chunk,
                Watcher<T, kBlock>* watcher) {
  constexpr int streams = kFirstState + Rule::states;
  Place place[streams];
  for (int s = 0; s < streams; ++s) place[s] = places.at(s, chunk.begin, chunk.begin / kBlock8);
  for (int64_t offset = chunk.begin; offset < chunk.end; offset += kBlock) {
    const int count = chunk.end - offset < kBlock ? static_cast<int>(chunk.end - offset) : kBlock;
    T* at[streams];
    for (int s = 0; s < streams; ++s) at[s] = stream[s].open_padded(place[s], count);
    if (watcher) watcher->open(at[kGrad], at[kParam], count);
    for (int i = 0; i < count; i += Vec<T>::lanes) update<Rule, T>(k, at, i);
    if (watcher) watcher->close(at[kParam], count);
    for (int s = kParam; s < streams; ++s) {
      stream[s].close(at[s], place[s], count);
      if (watcher && place[s].codec != kNative<T>) watcher->stored(at[s], place[s], count);
    }
    for (int s = 0; s < streams; ++s) place[s].advance(kBlock);
  }
}

template <class Rule, class T>
void step(const Work& work) {
  constexpr int streams = kFirstState + Rule::states, ahead = 8;
  Stream<T, kBlock> stream[streams];
  Scalars<Rule, T> k(work.scalars + work.rows[work.chunks[0].row].scalars * work.columns, work.coefficient);
  for (int64_t c = 0; c < work.count; ++c) {
    if (c + ahead < work.count)  // small tensors are scattered: fetch their memory before it is needed
      for (int s = 0; s < streams; ++s) __builtin_prefetch(work.rows[work.chunks[c + ahead].row].stream[s], 1);
    const Row& row = work.rows[work.chunks[c].row];
    if (c > 0 && row.scalars != work.rows[work.chunks[c - 1].row].scalars)
      k = Scalars<Rule, T>(work.scalars + row.scalars * work.columns, work.coefficient);
    const Places places(row, work.scalars + row.scalars * work.columns);
    if (work.seen) {
      Watcher<T, kBlock> watcher;
      step_chunk<Rule, T>(k, stream, places, work.chunks[c], &watcher);
      work.seen[c] = watcher.seen();
    } else {
      step_chunk<Rule, T>(k, stream, places, work.chunks[c], nullptr);
    }
  }
}

template <class T>
double sum_squares(const Row& row, int64_t begin, int64_t end) {
  SquareSum<T> sum;
  Stream<T, kBlock> stream;
  for (int64_t offset = begin; offset < end; offset += kBlock) {
    const int count = end - offset < kBlock ? static_cast<int>(end - offset) : kBlock;
    sum.add(stream.open_padded({row.stream[kGrad], nullptr, row.codec(kGrad), offset, 0, 0}, count), count);
  }
  return sum.total();
}

}  // namespace fusedopt::FUSEDOPT_ISA
