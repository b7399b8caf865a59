// A kernel over all elements. A block takes a tile: its threads walk down rows with packs of columns in registers; sums
// down the columns stay there, those along a row go through the team's threads.
#pragma once
#include <algorithm>

#include "memory.cuh"
#include "packs.cuh"
#include "sums.cuh"
#include "tile.cuh"

namespace fusedopt::cuda {

// One thread's share of a tile. `whole`: every pack is one aligned access, inside the matrix or outside of it, and rows
// of bits have no bits to spare.
template <class Rule, class Kernel, class T, bool whole>
class Walk;

template <class Rule, class Kernel, class T>
struct Sweep {
  static constexpr int resident = sizeof(T) == 8 ? 1 : 2;
  static constexpr int column_streams = count_of<Rule, typename Kernel::streams>(Shape::col);
  static constexpr int column_sums = count_of<Rule, typename Kernel::sums>(Shape::col);
  static constexpr int tensor_sums = count_of<Rule, typename Kernel::sums>(Shape::tensor);

  struct Shared {
    Memory<Rule, T> memory;
    Tile tile;
    Pack<T> column[column_streams * kTilePacks + 1];  // each read by its own thread
    Pack<T> down[column_sums * kTilePacks + 1];
    T all[tensor_sums * kWarps + 1];
  };

  FUSEDOPT_DEVICE static void run(const MatrixWork& work, const ScalarTable& table, Chunk chunk, int thread,
                                  Shared& shared) {
    shared.memory.read(work, table, chunk.row, thread);
    if (thread == 0) shared.tile.find(shared.memory.plan.tiling, chunk.index);
    barrier();
    if (is_whole(shared.memory))
      Walk<Rule, Kernel, T, true>(shared, thread).run();
    else
      Walk<Rule, Kernel, T, false>(shared, thread).run();
  }

 private:
  FUSEDOPT_DEVICE static bool is_whole(const Memory<Rule, T>& memory) {
    const Row& row = memory.row;
    uintptr_t addresses =
        reinterpret_cast<uintptr_t>(row.stream[kGrad]) | reinterpret_cast<uintptr_t>(row.stream[kParam]);
    bool has_bits = false;
    each<Kernel::streams::count>([&](auto i) {
      constexpr int id = Kernel::streams::at[i];
      if constexpr (is<Rule>(id, Shape::element)) {  // the others are read one by one
        if (row.codec(kFirstState + id) == kBits)
          has_bits = true;
        else
          addresses |= reinterpret_cast<uintptr_t>(row.stream[kFirstState + id]);
      }
    });
    const int unit = has_bits ? 8 : kPack<T>;
    return addresses % 16 == 0 && memory.plan.tiling.cols % unit == 0 && row.numel % unit == 0;
  }
};

template <class Rule, class Kernel, class T, bool whole>
class Walk {
  using Shared = typename Sweep<Rule, Kernel, T>::Shared;
  using Streams = typename Kernel::streams;
  using Uniforms = typename Kernel::uniforms;
  using Totals = typename Kernel::sums;

  static constexpr int W = kPack<T>;
  static constexpr int element_streams = count_of<Rule, Streams>(Shape::element);
  static constexpr int row_uniforms = count_of<Rule, Uniforms>(Shape::row);
  static constexpr int row_sums = count_of<Rule, Totals>(Shape::row);
  static constexpr int column_sums = Sweep<Rule, Kernel, T>::column_sums;
  static constexpr int tensor_sums = Sweep<Rule, Kernel, T>::tensor_sums;
  static_assert(row_sums + column_sums + tensor_sums == Totals::count);
  static constexpr Use use = Kernel::commits ? Use::last : Use::again;
  static constexpr bool reads_p = Kernel::reads_p || Kernel::commits;
  // Rows in registers, the last of them still on their way: some 40 KB in flight on a multiprocessor.
  static constexpr int streams = Kernel::reads_g + reads_p + element_streams;
  static constexpr int lines = whole ? 4 / std::clamp(streams, 1, 4) : 1;

 public:
  FUSEDOPT_DEVICE Walk(Shared& shared, int thread)
      : shared_(shared), memory_(shared.memory), tiling_(shared.memory.plan.tiling), tile_(shared.tile),
        header_(shared.memory.scalars), thread_(thread), lanes_(tiling_.lanes), teams_(tiling_.teams),
        pitch_(tiling_.cols * tiling_.teams) {
    const int64_t row = tile_.row + team() % teams_;
    row_ = matrix() * tiling_.rows + row;
    element_ = row_ * tiling_.cols + column(0);
    const int rows = has_matrix() ? steps_within(tiling_.rows - row, teams_) : 0;
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
      const int64_t element = element_ + pack * lanes_ * W;
      if constexpr (is_flat<Rule>())
        steps_[pack] = steps_within(memory_.row.numel - element, pitch_);
      else
        steps_[pack] = column(pack) < tiling_.cols ? rows : 0;
    }
    each_stream([&](auto place, auto stream) { stream_[place] = memory_.row.stream[stream]; });
  }

  FUSEDOPT_DEVICE void run() {
    begin();
    walk();
    finish();
  }

 private:
  // A row as far as it is this thread's, fetched before it is used.
  struct Line {
    Raw raw[kPacks][kFirstState + element_streams];
    T uniform[row_uniforms + 1];
  };

  // Visits what is moved: its place among the thread's streams, and its number in the row.
  template <class Visit>
  FUSEDOPT_DEVICE static void each_stream(const Visit& visit) {
    if constexpr (Kernel::reads_g) visit(At<kGrad>{}, At<kGrad>{});
    if constexpr (reads_p) visit(At<kParam>{}, At<kParam>{});
    each<Streams::count>([&](auto i) {
      constexpr int id = Streams::at[i], place = kFirstState + count_of<Rule, Streams>(Shape::element, i);
      if constexpr (is<Rule>(id, Shape::element)) visit(At<place>{}, At<kFirstState + id>{});
    });
  }
  // Visits uniforms or sums of one shape: their place in the list, and their number among those of that shape.
  template <class List, Shape shape, class Visit>
  FUSEDOPT_DEVICE static void each_of(const Visit& visit) {
    each<List::count>([&](auto i) {
      if constexpr (is<Rule>(List::at[i], shape)) visit(i, At<count_of<Rule, List>(shape, i)>{});
    });
  }

  FUSEDOPT_DEVICE Codec dtype(int stream) const { return memory_.row.codec(stream); }
  FUSEDOPT_DEVICE bool is_bits(int stream) const { return stream > kParam && dtype(stream) == kBits; }
  FUSEDOPT_DEVICE int lane() const { return thread_ & (lanes_ - 1); }
  FUSEDOPT_DEVICE int team() const { return thread_ / lanes_; }
  FUSEDOPT_DEVICE int64_t matrix() const { return tile_.matrix + team() / teams_; }
  FUSEDOPT_DEVICE bool has_matrix() const { return matrix() < tiling_.batch; }
  FUSEDOPT_DEVICE int64_t column(int pack) const {
    return (static_cast<int64_t>(tile_.panel) * kPacks + pack) * lanes_ * W + lane() * W;
  }
  // A pack's place in shared memory, in the n-th list of all threads' packs.
  FUSEDOPT_DEVICE int own(int pack, int n) const { return n * kTilePacks + (team() * kPacks + pack) * lanes_ + lane(); }

  // What all rows share, and empty sums.
  FUSEDOPT_DEVICE void begin() {
    each<Uniforms::count>([&](auto i) {
      constexpr int id = Uniforms::at[i];
      constexpr bool of_matrix = is<Rule>(id, Shape::matrix);
      if constexpr (!is<Rule>(id, Shape::row))
        uniform_[i] = of_matrix && !has_matrix() ? T(0) : memory_.template uniform<id>(matrix(), 0);
    });
    each_of<Uniforms, Shape::row>(
        [&](auto i, auto n) { row_values_[n] = memory_.template values<Uniforms::at[i]>() + row_; });
    each_of<Streams, Shape::col>([&](auto i, auto n) { read_columns(memory_.template values<Streams::at[i]>(), n); });
    row_terms_ = tile_.panel * tiling_.values(Shape::row) + row_;
    each_of<Totals, Shape::col>([&](auto i, auto n) { fill<op_of(i)>(down_[n]); });
    each_of<Totals, Shape::tensor>([&](auto i, auto n) { all_[n] = start<op_of(i), T>(); });
  }

  FUSEDOPT_DEVICE static constexpr Op op_of(int sum) { return Rule::slots[Totals::at[sum]].op; }

  FUSEDOPT_DEVICE void read_columns(const T* values, int place) {
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack)
#pragma unroll
      for (int e = 0; e < W; ++e) {
        const int64_t col = column(pack) + e;
        const bool inside = has_matrix() && col < tiling_.cols;
        shared_.column[own(pack, place)].at[e] =
            inside ? read<T, Use::again>(values + matrix() * tiling_.cols + col) : T(0);
      }
  }

  template <Op op>
  FUSEDOPT_DEVICE static void fill(Pack<T> (&packs)[kPacks]) {
#pragma unroll
    for (Pack<T>& pack : packs)
#pragma unroll
      for (T& sum : pack.at) sum = start<op, T>();
  }

  FUSEDOPT_DEVICE void walk() {
    Line line[lines];
#pragma unroll
    for (int i = 0; i + 1 < lines; ++i) fetch(line[i], i);
    for (int step = 0; step < tile_.steps; step += lines) {
#pragma unroll
      for (int i = 0; i < lines; ++i) {
        fetch(line[(i + lines - 1) % lines], step + i + lines - 1);
        update(line[i], step + i);
      }
    }
  }

  // Where a pack is at a step: its first element, and how many of its elements are in the matrix.
  struct Where {
    int64_t element;
    int inside;
  };

  FUSEDOPT_DEVICE Where where(int step, int pack) const {
    const int64_t element = element_ + step * pitch_ + pack * lanes_ * W;
    if (step >= steps_[pack]) return {element, 0};
    if (whole) return {element, W};
    const int64_t left = is_flat<Rule>() ? memory_.row.numel - element : tiling_.cols - column(pack);
    return {element, left < W ? static_cast<int>(left) : W};
  }

  FUSEDOPT_DEVICE void fetch(Line& line, int step) const {
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
      const Where at = where(step, pack);
      each_stream([&](auto place, auto stream) { line.raw[pack][place] = loaded(place, stream, at, step, pack); });
    }
    each_of<Uniforms, Shape::row>([&](auto, auto n) {
      line.uniform[n] = step < steps_[0] ? read<T, Use::again>(row_values_[n] + step * teams_) : T(0);
    });
  }

  // The first bit of a pack of signs; every row begins a new byte.
  FUSEDOPT_DEVICE int64_t bit(const Where& at, int step, int pack) const {
    if (whole) return at.element;
    return (row_ + step * teams_) * (pieces(tiling_.cols, 8) * 8) + column(pack);
  }

  FUSEDOPT_DEVICE Raw loaded(int place, int stream, const Where& at, int step, int pack) const {
    if (is_bits(stream)) return load_signs(stream_[place], bit(at, step, pack), at.inside);
    return load_pack<W, whole, use>(stream_[place], dtype(stream), at.element, at.inside);
  }

  FUSEDOPT_DEVICE void decoded(const Raw& raw, int stream, T (&to)[W]) const {
    if (is_bits(stream))
      decode_signs(raw, to);
    else
      decode(raw, dtype(stream), to);
  }

  FUSEDOPT_DEVICE void stored(int place, int stream, const Where& at, int step, int pack, const T (&from)[W]) const {
    if (is_bits(stream))
      store_signs(stream_[place], bit(at, step, pack), at.inside, from);
    else
      store_pack<W, whole>(stream_[place], dtype(stream), at.element, at.inside, from);
  }

  FUSEDOPT_DEVICE void update(const Line& line, int step) {
    T along[row_sums + 1];
    each_of<Uniforms, Shape::row>([&](auto i, auto n) { uniform_[i] = line.uniform[n]; });
    each_of<Totals, Shape::row>([&](auto i, auto n) { along[n] = start<op_of(i), T>(); });
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) update_pack(line, step, pack, along);
    each_of<Totals, Shape::row>([&](auto i, auto n) {
      const T sum = across<op_of(i)>(along[n], lanes_);
      constexpr int id = Totals::at[i];
      if (lane() == 0 && step < steps_[0]) memory_.template terms<id>()[row_terms_ + step * teams_] = sum;
    });
  }

  FUSEDOPT_DEVICE void update_pack(const Line& line, int step, int pack, T* along) {
    const Where at = where(step, pack);
    T value[kFirstState + element_streams][W] = {};
    each_stream([&](auto place, auto stream) { decoded(line.raw[pack][place], stream, value[place]); });
    if (!reads_p && header_.l2 != 0)
      decode(load_pack<W, whole, use>(memory_.row.stream[kParam], dtype(kParam), at.element, at.inside), dtype(kParam),
             value[kParam]);
#pragma unroll
    for (int e = 0; e < W; ++e) update_element(pack, e, whole ? at.inside > 0 : e < at.inside, along, value);
    if constexpr (Kernel::commits) {
      stored(kParam, kParam, at, step, pack, value[kParam]);
      each<Kernel::written>([&](auto i) {
        constexpr int id = Streams::at[i];
        stored(kFirstState + i, kFirstState + id, at, step, pack, value[kFirstState + i]);
      });
    }
  }

  FUSEDOPT_DEVICE void update_element(int pack, int e, bool inside, T* along,
                                      T (&value)[kFirstState + element_streams][W]) {
    T s[Streams::count + 1], term[Totals::count + 1];
    each_of<Streams, Shape::element>([&](auto i, auto n) { s[i] = value[kFirstState + n][e]; });
    each_of<Streams, Shape::col>([&](auto i, auto n) { s[i] = shared_.column[own(pack, n)].at[e]; });
    T& p = value[kParam][e];
    const T g = header_.gradient_of(value[kGrad][e], p);
    if constexpr (Kernel::commits)
      p = header_.stepped(Kernel::template update<T>(g, p, s, uniform_, term), g, p);
    else
      Kernel::template update<T>(g, p, s, uniform_, term);
    each<Kernel::written>([&](auto i) { value[kFirstState + i][e] = s[i]; });
    if (!inside) return;
    each_of<Totals, Shape::row>([&](auto i, auto n) { along[n] = combined<op_of(i)>(along[n], term[i]); });
    each_of<Totals, Shape::col>([&](auto i, auto n) {
      T& sum = down_[n][pack].at[e];
      sum = combined<op_of(i)>(sum, term[i]);
    });
    each_of<Totals, Shape::tensor>([&](auto i, auto n) { all_[n] = combined<op_of(i)>(all_[n], term[i]); });
  }

  // Brings the threads' sums together: the teams' down every column, and all over the tensor.
  FUSEDOPT_DEVICE void finish() {
    each_of<Totals, Shape::col>([&](auto, auto n) {
#pragma unroll
      for (int pack = 0; pack < kPacks; ++pack) shared_.down[own(pack, n)] = down_[n][pack];
    });
    each_of<Totals, Shape::tensor>([&](auto i, auto n) {
      const T sum = across<op_of(i)>(all_[n], 32);
      if (thread_ % 32 == 0) shared_.all[n * kWarps + thread_ / 32] = sum;
    });
    if constexpr (column_sums + tensor_sums > 0) barrier();
    each_of<Totals, Shape::col>([&](auto i, auto n) {
      finish_columns<op_of(i)>(shared_.down[n * kTilePacks].at, memory_.template terms<Totals::at[i]>());
    });
    each_of<Totals, Shape::tensor>([&](auto i, auto n) {
      if (thread_ == 0) finish_tensor<op_of(i)>(shared_.all + n * kWarps, memory_.template terms<Totals::at[i]>());
    });
  }

  template <Op op>
  FUSEDOPT_DEVICE void finish_columns(const T* down, T* terms) const {
    const int width = lanes_ * kPacks * W;
    for (int i = thread_; i < tiling_.matrices() * width; i += kThreads) {
      const int64_t matrix = tile_.matrix + i / width, col = static_cast<int64_t>(tile_.panel) * width + i % width;
      if (matrix >= tiling_.batch || col >= tiling_.cols) continue;
      const T* from = down + i / width * teams_ * width + i % width;
      T sum = from[0];
      for (int team = 1; team < teams_; ++team) sum = combined<op>(sum, from[team * width]);
      terms[(matrix * tiling_.bands + tile_.band) * tiling_.cols + col] = sum;
    }
  }

  template <Op op>
  FUSEDOPT_DEVICE void finish_tensor(const T* all, T* terms) const {
    T sum = all[0];
    for (int warp = 1; warp < kWarps; ++warp) sum = combined<op>(sum, all[warp]);
    const int64_t matrices = tile_.matrix / tiling_.matrices();
    terms[(matrices * tiling_.bands + tile_.band) * tiling_.panels + tile_.panel] = sum;
  }

  Shared& shared_;
  const Memory<Rule, T>& memory_;
  const Tiling& tiling_;
  const Tile& tile_;
  const Header<T> header_;
  const int thread_, lanes_, teams_;
  const int64_t pitch_;    // elements from step to step
  int64_t row_, element_;  // at step 0; rows count through all matrices
  int steps_[kPacks];      // of a pack: fewer than the tile's where the matrix ends
  void* stream_[kFirstState + element_streams];
  const T* row_values_[row_uniforms + 1];
  int64_t row_terms_;  // place of the first row's
  T uniform_[Uniforms::count + 1];
  Pack<T> down_[column_sums + 1][kPacks];
  T all_[tensor_sums + 1];
};

}  // namespace fusedopt::cuda
