// A kernel over all elements. A block takes a tile: its threads walk down rows with packs of columns in registers; sums
// down the columns stay there, those along a row go through the team's threads.
#pragma once
#include <algorithm>

#include "memory.cuh"
#include "sums.cuh"

namespace fusedopt::cuda {

struct Tile {
  int panel, band, steps;  // steps: rows that every team walks down
  int64_t matrix, row;     // the first ones; rows count within the matrix

  FUSEDOPT_DEVICE void find(const Tiling& t, int index) {
    panel = index % t.panels;
    band = index / t.panels % t.bands;
    matrix = static_cast<int64_t>(index / t.panels / t.bands) * t.matrices();
    row = static_cast<int64_t>(band) * t.teams * kDeep;
    steps = walked(t, t.rows - row);
  }
  // Steps until so many rows are walked down.
  FUSEDOPT_DEVICE static int walked(const Tiling& t, int64_t rows) {
    const int64_t steps = rows > 0 ? pieces(rows, t.teams) : 0;
    return steps < kDeep ? static_cast<int>(steps) : kDeep;
  }
};

// One thread's share of a tile. `whole`: every pack is one aligned access, inside the matrix or outside of it; else
// packs are moved element by element, as many as are inside.
template <class Rule, class Kernel, class T, bool whole>
class Walk;

// Columns of all threads of a block.
template <class T>
constexpr int kTileColumns = kThreads * kPacks * kPack<T>;

template <class Rule, class Kernel, class T>
struct Sweep {
  static constexpr int resident = sizeof(T) == 8 ? 1 : 2;
  static constexpr int column_streams = count_of<Rule, typename Kernel::streams>(Shape::col);
  static constexpr int column_sums = count_of<Rule, typename Kernel::sums>(Shape::col);
  static constexpr int tensor_sums = count_of<Rule, typename Kernel::sums>(Shape::tensor);

  struct Shared {
    Memory<Rule, T> memory;
    Tile tile;
    T column[column_streams ? column_streams : 1][column_streams ? kTileColumns<T> : 1];  // read by their own thread
    T down[column_sums ? column_sums : 1][column_sums ? kTileColumns<T> : 1];
    T all[tensor_sums ? tensor_sums : 1][kThreads / 32];
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
    each<Kernel::streams::count>([&](auto i) {
      constexpr int id = Kernel::streams::at[i];
      if (row.dtype(kFirstState + id) != kBits) addresses |= reinterpret_cast<uintptr_t>(memory.template values<id>());
    });
    return addresses % 16 == 0 && memory.plan.tiling.cols % kPack<T> == 0 && row.numel % kPack<T> == 0;
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
        thread_(thread), cols_(tiling_.cols), lanes_(tiling_.lanes), teams_(tiling_.teams),
        dtypes_(memory_.row.dtypes) {
    const int64_t row = tile_.row + team() % teams_;
    row_ = matrix() * tiling_.rows + row;
    element_ = row_ * cols_ + column(0);
    steps_ = has_matrix() ? Tile::walked(tiling_, tiling_.rows - row) : 0;
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

  FUSEDOPT_DEVICE DType dtype(int stream) const { return static_cast<DType>(dtypes_ >> (4 * stream) & 15); }
  FUSEDOPT_DEVICE bool is_bits(int stream) const { return stream > kParam && dtype(stream) == kBits; }
  FUSEDOPT_DEVICE int lane() const { return thread_ & (lanes_ - 1); }
  FUSEDOPT_DEVICE int team() const { return thread_ / lanes_; }
  FUSEDOPT_DEVICE int64_t matrix() const { return tile_.matrix + team() / teams_; }
  FUSEDOPT_DEVICE bool has_matrix() const { return matrix() < tiling_.batch; }
  FUSEDOPT_DEVICE int width() const { return lanes_ * kPacks * W; }  // columns of a tile
  FUSEDOPT_DEVICE int column_in_tile(int pack) const { return (pack * lanes_ + lane()) * W; }
  FUSEDOPT_DEVICE int own(int pack) const { return team() * width() + column_in_tile(pack); }  // among kTileColumns
  FUSEDOPT_DEVICE int64_t column(int pack) const {
    return static_cast<int64_t>(tile_.panel) * width() + column_in_tile(pack);
  }

  // What all rows share, and empty sums.
  FUSEDOPT_DEVICE void begin() {
    each<Uniforms::count>([&](auto i) {
      constexpr int id = Uniforms::at[i];
      constexpr bool is_row = is<Rule>(id, Shape::row), is_matrix = is<Rule>(id, Shape::matrix);
      if constexpr (!is_row)
        uniform_[i] = is_matrix && !has_matrix() ? T(0) : memory_.template uniform<id>(matrix(), 0);
    });
    each<Streams::count>([&](auto i) {
      constexpr int id = Streams::at[i], c = count_of<Rule, Streams>(Shape::col, i);
      if constexpr (is<Rule>(id, Shape::col))
        for_columns([&](int pack, int e, int64_t col) {
          const bool inside = has_matrix() && col < cols_;
          const T* from = memory_.template values<id>() + matrix() * cols_ + col;
          shared_.column[c][own(pack) + e] = inside ? read<T, Use::again>(from) : T(0);
        });
    });
    each<Totals::count>([&](auto i) {
      constexpr int id = Totals::at[i], c = count_of<Rule, Totals>(Rule::slots[id].shape, i);
      constexpr Shape shape = Rule::slots[id].shape;
      if constexpr (shape == Shape::col)
        for_columns([&](int pack, int e, int64_t) { down_[c][pack][e] = start<Rule::slots[id].op, T>(); });
      if constexpr (shape == Shape::tensor) all_[c] = start<Rule::slots[id].op, T>();
    });
  }

  template <class Visit>
  FUSEDOPT_DEVICE void for_columns(const Visit& visit) const {
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack)
#pragma unroll
      for (int e = 0; e < W; ++e) visit(pack, e, column(pack) + e);
  }

  FUSEDOPT_DEVICE void walk() {
    Line line[lines];
#pragma unroll
    for (int i = 0; i + 1 < lines; ++i) fetch(line[i], at(i));
    for (int step = 0; step < tile_.steps; step += lines) {
#pragma unroll
      for (int i = 0; i < lines; ++i) {
        fetch(line[(i + lines - 1) % lines], at(step + i + lines - 1));
        update(line[i], at(step + i));
      }
    }
  }

  // Where the thread is at a step of its walk.
  struct At {
    int64_t row, element;  // the row counted through all matrices, the element of the first pack
    int inside[kPacks];    // elements of a pack that are in the matrix
  };

  FUSEDOPT_DEVICE At at(int step) const {
    At at;
    at.row = row_ + step * teams_;
    at.element = element_ + step * (teams_ * cols_);
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
      const int64_t left = is_flat<Rule>() ? memory_.row.numel - element(at, pack) : cols_ - column(pack);
      at.inside[pack] = step < steps_ ? within(left) : 0;
    }
    return at;
  }
  FUSEDOPT_DEVICE int64_t element(const At& at, int pack) const { return at.element + pack * lanes_ * W; }

  FUSEDOPT_DEVICE void fetch(Line& line, const At& at) const {
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) fetch_pack(line, at, pack);
    each<Uniforms::count>([&](auto i) {
      constexpr int id = Uniforms::at[i], place = count_of<Rule, Uniforms>(Shape::row, i);
      if constexpr (is<Rule>(id, Shape::row))
        line.uniform[place] = at.inside[0] > 0 ? memory_.template uniform<id>(matrix(), at.row) : T(0);
    });
  }

  FUSEDOPT_DEVICE static int within(int64_t left) {
    if (whole) return left > 0 ? W : 0;
    return left < 0 ? 0 : left < W ? static_cast<int>(left) : W;
  }

  FUSEDOPT_DEVICE void fetch_pack(Line& line, const At& at, int pack) const {
    if constexpr (Kernel::reads_g) line.raw[pack][kGrad] = loaded(at, pack, kGrad);
    if constexpr (reads_p) line.raw[pack][kParam] = loaded(at, pack, kParam);
    each<Streams::count>([&](auto i) {
      constexpr int id = Streams::at[i], place = kFirstState + count_of<Rule, Streams>(Shape::element, i);
      if constexpr (is<Rule>(id, Shape::element)) line.raw[pack][place] = loaded(at, pack, kFirstState + id);
    });
  }

  FUSEDOPT_DEVICE int64_t byte(const At& at, int pack) const {
    return at.row * ((cols_ + 7) >> 3) + (column(pack) >> 3);
  }

  FUSEDOPT_DEVICE Raw loaded(const At& at, int pack, int stream) const {
    const int inside = at.inside[pack];
    if (inside == 0) return {};
    if (is_bits(stream)) {
      const auto bytes = static_cast<const unsigned char*>(memory_.row.stream[stream]);
      return {static_cast<uint32_t>(read<unsigned char>(bytes + byte(at, pack))) >> (column_in_tile(pack) % 8)};
    }
    if constexpr (whole) {
      return load<W, use>(memory_.row.stream[stream], dtype(stream), element(at, pack));
    } else {
      Raw raw = {};
      for (int e = 0; e < inside; ++e)
        place(raw, size_of(dtype(stream)), e,
              load<1, use>(memory_.row.stream[stream], dtype(stream), element(at, pack) + e));
      return raw;
    }
  }

  // One element into a pack, and out of it.
  FUSEDOPT_DEVICE static void place(Raw& raw, int size, int e, const Raw& one) {
#pragma unroll
    for (int i = 0; i < W; ++i) {
      if (i != e) continue;
      if (size == 2) raw.word[i / 2] |= one.word[0] << (16 * (i % 2));
      if (size == 4) raw.word[i] = one.word[0];
      if constexpr (W == 2)
        if (size == 8) raw.word[2 * i] = one.word[0], raw.word[2 * i + 1] = one.word[1];
    }
  }
  FUSEDOPT_DEVICE static Raw taken(const Raw& raw, int size, int e) {
    Raw one = {};
#pragma unroll
    for (int i = 0; i < W; ++i) {
      if (i != e) continue;
      one.word[0] = size == 2 ? raw.word[i / 2] >> (16 * (i % 2)) : raw.word[i];
      if constexpr (W == 2)
        if (size == 8) one = {raw.word[2 * i], raw.word[2 * i + 1]};
    }
    return one;
  }

  FUSEDOPT_DEVICE void decoded(const Raw& raw, int stream, T (&to)[W]) const {
    if (is_bits(stream)) {
#pragma unroll
      for (int e = 0; e < W; ++e) to[e] = raw.word[0] >> e & 1 ? T(1) : T(-1);
    } else {
      decode(raw, dtype(stream), to);
    }
  }

  // Every thread of a warp comes here, as neighbours make a byte of signs together.
  FUSEDOPT_DEVICE void stored(const At& at, int pack, int stream, const T (&from)[W]) const {
    const int inside = at.inside[pack];
    if (is_bits(stream)) {
      int bits = 0;
#pragma unroll
      for (int e = 0; e < W; ++e) bits |= (e < inside && from[e] > 0 ? 1 : 0) << e;
      bits <<= column_in_tile(pack) % 8;
#pragma unroll
      for (int mask = 1; mask < 8 / W; mask *= 2) bits |= exchange(bits, mask);
      const auto bytes = static_cast<unsigned char*>(memory_.row.stream[stream]);
      if (inside > 0 && column_in_tile(pack) % 8 == 0) write(bytes + byte(at, pack), static_cast<unsigned char>(bits));
    } else if (inside > 0) {
      const Raw raw = encode(from, dtype(stream));
      if constexpr (whole)
        store<W>(memory_.row.stream[stream], dtype(stream), element(at, pack), raw);
      else
        for (int e = 0; e < inside; ++e)
          store<1>(memory_.row.stream[stream], dtype(stream), element(at, pack) + e,
                   taken(raw, size_of(dtype(stream)), e));
    }
  }

  FUSEDOPT_DEVICE void update(const Line& line, const At& at) {
    T along[row_sums + 1];
    each<Uniforms::count>([&](auto i) {
      constexpr int id = Uniforms::at[i];
      if constexpr (is<Rule>(id, Shape::row)) uniform_[i] = line.uniform[count_of<Rule, Uniforms>(Shape::row, i)];
    });
    each<Totals::count>([&](auto i) {
      constexpr int id = Totals::at[i];
      if constexpr (is<Rule>(id, Shape::row))
        along[count_of<Rule, Totals>(Shape::row, i)] = start<Rule::slots[id].op, T>();
    });
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) update_pack(line, at, pack, along);
    each<Totals::count>([&](auto i) {
      constexpr int id = Totals::at[i], c = count_of<Rule, Totals>(Shape::row, i);
      if constexpr (is<Rule>(id, Shape::row)) {
        const T sum = across<Rule::slots[id].op>(along[c], lanes_);
        T* to = memory_.template terms<id>() + tile_.panel * tiling_.values(Shape::row) + at.row;
        if (lane() == 0 && at.inside[0] > 0) *to = sum;
      }
    });
  }

  FUSEDOPT_DEVICE void update_pack(const Line& line, const At& at, int pack, T* along) {
    T g[W] = {}, p[W] = {}, value[element_streams + 1][W];
    if constexpr (Kernel::reads_g) decoded(line.raw[pack][kGrad], kGrad, g);
    if constexpr (reads_p)
      decoded(line.raw[pack][kParam], kParam, p);
    else if (memory_.scalars.l2 != 0)
      decoded(loaded(at, pack, kParam), kParam, p);
    each<Streams::count>([&](auto i) {
      constexpr int id = Streams::at[i], place = count_of<Rule, Streams>(Shape::element, i);
      if constexpr (is<Rule>(id, Shape::element))
        decoded(line.raw[pack][kFirstState + place], kFirstState + id, value[place]);
    });
#pragma unroll
    for (int e = 0; e < W; ++e) update_element(at, pack, e, along, g[e], p[e], value);
    if constexpr (Kernel::commits) {
      stored(at, pack, kParam, p);
      each<Kernel::written>([&](auto i) {
        constexpr int id = Streams::at[i];
        stored(at, pack, kFirstState + id, value[i]);
      });
    }
  }

  FUSEDOPT_DEVICE void update_element(const At& at, int pack, int e, T* along, T g, T& p,
                                      T (&value)[element_streams + 1][W]) {
    T s[Streams::count + 1], term[Totals::count + 1];
    each<Streams::count>([&](auto i) {
      constexpr bool is_column = is<Rule>(Streams::at[i], Shape::col);
      constexpr int place = count_of<Rule, Streams>(is_column ? Shape::col : Shape::element, i);
      if constexpr (is_column)
        s[i] = shared_.column[place][own(pack) + e];
      else
        s[i] = value[place][e];
    });
    g = memory_.scalars.gradient_of(g, p);
    if constexpr (Kernel::commits)
      p = memory_.scalars.stepped(Kernel::template update<T>(g, p, s, uniform_, term), g, p);
    else
      Kernel::template update<T>(g, p, s, uniform_, term);
    each<Kernel::written>([&](auto i) { value[i][e] = s[i]; });
    if (whole ? at.inside[pack] > 0 : e < at.inside[pack]) add(pack, e, term, along);
  }

  FUSEDOPT_DEVICE void add(int pack, int e, const T* term, T* along) {
    each<Totals::count>([&](auto i) {
      constexpr int id = Totals::at[i], c = count_of<Rule, Totals>(Rule::slots[id].shape, i);
      constexpr Shape shape = Rule::slots[id].shape;
      constexpr Op op = Rule::slots[id].op;
      if constexpr (shape == Shape::row) along[c] = combined<op>(along[c], term[i]);
      if constexpr (shape == Shape::col) down_[c][pack][e] = combined<op>(down_[c][pack][e], term[i]);
      if constexpr (shape == Shape::tensor) all_[c] = combined<op>(all_[c], term[i]);
    });
  }

  // Brings the threads' sums together: the teams' down every column, and all over the tensor.
  FUSEDOPT_DEVICE void finish() {
    each<Totals::count>([&](auto i) {
      constexpr int id = Totals::at[i], c = count_of<Rule, Totals>(Rule::slots[id].shape, i);
      if constexpr (is<Rule>(id, Shape::col)) {
        for_columns([&](int pack, int e, int64_t) { shared_.down[c][own(pack) + e] = down_[c][pack][e]; });
      }
      if constexpr (is<Rule>(id, Shape::tensor)) {
        const T sum = across<Rule::slots[id].op>(all_[c], 32);
        if (thread_ % 32 == 0) shared_.all[c][thread_ / 32] = sum;
      }
    });
    if constexpr (column_sums + tensor_sums > 0) barrier();
    each<Totals::count>([&](auto i) {
      constexpr int id = Totals::at[i], c = count_of<Rule, Totals>(Rule::slots[id].shape, i);
      constexpr Op op = Rule::slots[id].op;
      if constexpr (is<Rule>(id, Shape::col)) finish_columns<op>(shared_.down[c], memory_.template terms<id>());
      if constexpr (is<Rule>(id, Shape::tensor))
        if (thread_ == 0) finish_tensor<op>(shared_.all[c], memory_.template terms<id>());
    });
  }

  template <Op op>
  FUSEDOPT_DEVICE void finish_columns(const T* down, T* terms) const {
    const int width = this->width();
    for (int i = thread_; i < tiling_.matrices() * width; i += kThreads) {
      const int64_t matrix = tile_.matrix + i / width, col = static_cast<int64_t>(tile_.panel) * width + i % width;
      if (matrix >= tiling_.batch || col >= tiling_.cols) continue;
      const T* from = down + i / width * tiling_.teams * width + i % width;
      T sum = from[0];
      for (int team = 1; team < tiling_.teams; ++team) sum = combined<op>(sum, from[team * width]);
      terms[(matrix * tiling_.bands + tile_.band) * tiling_.cols + col] = sum;
    }
  }

  template <Op op>
  FUSEDOPT_DEVICE void finish_tensor(const T* all, T* terms) const {
    T sum = all[0];
    for (int warp = 1; warp < kThreads / 32; ++warp) sum = combined<op>(sum, all[warp]);
    const int64_t matrices = tile_.matrix / tiling_.matrices();
    terms[(matrices * tiling_.bands + tile_.band) * tiling_.panels + tile_.panel] = sum;
  }

  Shared& shared_;
  const Memory<Rule, T>& memory_;
  const Tiling& tiling_;
  const Tile& tile_;
  const int thread_;
  const int64_t cols_;
  const int lanes_, teams_;
  const uint32_t dtypes_;
  int64_t row_, element_;  // at step 0
  int steps_;              // of this thread, fewer than the tile's where its rows end earlier
  T uniform_[Uniforms::count + 1], down_[column_sums + 1][kPacks][W], all_[tensor_sums + 1];
};

}  // namespace fusedopt::cuda
