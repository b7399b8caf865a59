// The launches of a rule that sees matrices: for every kernel one over its domain, and one that adds up its sums.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "../rules/all.h"
#include "tiling.h"

namespace fusedopt::cuda {
namespace {

bool has_bits(const Row& row) {
  for (int stream = kFirstState; stream < kMaxStreams; ++stream)
    if (row.codec(stream) == kBits) return true;
  return false;
}

template <class Rule, class T>
Tiling tiling_of(const Row& row) {
  constexpr int pack = kPack<T>, widest = 32 * kPacks * pack;
  Tiling t = {};
  t.numel = row.numel;
  t.cols = is_flat<Rule>() ? std::min<int64_t>(row.numel, widest) : row.cols;
  t.rows = is_flat<Rule>() ? pieces(row.numel, widest) : row.rows;
  t.batch = is_flat<Rule>() ? 1 : row.numel / (row.rows * row.cols);
  const int least = has_bits(row) ? 8 / pack : 1;  // a byte of sign bits stays within a team
  t.lanes = power_of_two(pieces(t.cols, kPacks * pack), least, 32);
  const int64_t all = kThreads / t.lanes, few = std::min(t.rows, all / t.batch);  // few: for want of other matrices
  t.teams = power_of_two(std::max(pieces(t.rows, kDeep), few), 1, static_cast<int>(all));
  t.bands = static_cast<int32_t>(pieces(t.rows, t.teams * kDeep));
  t.panels = static_cast<int32_t>(pieces(t.cols, t.lanes * kPacks * pack));
  return t;
}

template <class Rule, class T>
class Scheduler {
 public:
  explicit Scheduler(const Row* rows, int count) : rows_(rows), count_(count) {}

  Schedule made() {
    for (int tensor = 0; tensor < count_; ++tensor)
      plans_.push_back(rows_[tensor].numel ? plan(rows_[tensor]) : Plan<Rule>{});
    for (const Plan<Rule>& plan : plans_) append(plan);
    add_kernels(typename Rule::List());
    return std::move(schedule_);
  }

 private:
  template <class What>
  int64_t append(const What& what) {
    const int64_t at = static_cast<int64_t>(schedule_.words.size());
    schedule_.words.resize(at + sizeof(What) / sizeof(int64_t));
    std::memcpy(&schedule_.words[at], &what, sizeof(What));
    return at;
  }

  int64_t take(int64_t count) {
    const int64_t at = schedule_.scratch;
    schedule_.scratch += pieces(count, kPack<T>) * kPack<T>;
    return at;
  }

  Plan<Rule> plan(const Row& row) {
    Plan<Rule> plan = {};
    plan.tiling = tiling_of<Rule, T>(row);
    for (int id = Rule::states; id < Rule::slot_count; ++id)
      if (state_of<Rule>(id) < 0) plan.value[id] = take(plan.tiling.values(Rule::slots[id].shape));
    place_terms(plan, typename Rule::List());
    return plan;
  }

  // Terms are used up before the next kernel makes its own.
  template <class... Kernel>
  void place_terms(Plan<Rule>& plan, Kernels<Kernel...>) {
    const int64_t begin = schedule_.scratch;
    int64_t end = begin;
    ((schedule_.scratch = begin, place_terms<Kernel>(plan), end = std::max(end, schedule_.scratch)), ...);
    schedule_.scratch = end;
  }

  template <class Kernel>
  void place_terms(Plan<Rule>& plan) {
    for (int sum = 0; sum < Kernel::sums::count; ++sum) {
      const int id = Kernel::sums::at[sum];
      const Terms terms = terms_of(plan.tiling, Kernel::domain, Rule::slots[id].shape);
      plan.terms[id] = take(terms.results() * terms.count);
    }
  }

  template <class... Kernel>
  void add_kernels(Kernels<Kernel...>) {
    ((add_sweep_or_values<Kernel>(), add_totals<Kernel>()), ...);
  }

  struct Blocks {
    int64_t of, count;  // a tensor, or the place of Terms among the words
  };

  template <class Kernel>
  void add_sweep_or_values() {
    constexpr bool sweeps = Kernel::domain == Shape::element;
    std::vector<Blocks> all;
    for (int tensor = 0; tensor < count_; ++tensor) {
      const Tiling& t = plans_[tensor].tiling;
      if (t.numel > 0) all.push_back({tensor, sweeps ? t.tiles() : pieces(t.values(Kernel::domain), kThreads)});
    }
    launch(all);
    // Every other sweep goes backwards: it begins with what the last one left in the cache.
    if (sweeps && sweeps_++ % 2 == 1)
      std::reverse(schedule_.words.begin() + schedule_.launches.back().begin, schedule_.words.end());
  }

  template <class Kernel>
  void add_totals() {
    std::vector<Blocks> all;
    for (int tensor = 0; tensor < count_; ++tensor)
      for (int sum = 0; rows_[tensor].numel > 0 && sum < Kernel::sums::count; ++sum) {
        const Terms terms = terms_at<Kernel>(tensor, Kernel::sums::at[sum]);
        all.push_back({append(terms), terms.blocks()});
      }
    launch(all);
  }

  template <class Kernel>
  Terms terms_at(int tensor, int id) const {
    const Plan<Rule>& plan = plans_[tensor];
    Terms terms = terms_of(plan.tiling, Kernel::domain, Rule::slots[id].shape);
    terms.op = Rule::slots[id].op;
    terms.from = plan.terms[id];
    terms.to = plan.value[id];
    terms.row = tensor;
    terms.state = state_of<Rule>(id);
    return terms;
  }

  void launch(const std::vector<Blocks>& all) {
    const int64_t begin = static_cast<int64_t>(schedule_.words.size());
    for (const Blocks& blocks : all)
      for (int64_t index = 0; index < blocks.count; ++index)
        append(Chunk{static_cast<int32_t>(blocks.of), static_cast<int32_t>(index)});
    schedule_.launches.push_back({begin, static_cast<int64_t>(schedule_.words.size())});
  }

  const Row* rows_;
  const int count_;
  int sweeps_ = 0;
  std::vector<Plan<Rule>> plans_;
  Schedule schedule_;
};

template <class... Rule>
Schedule schedule(Rules<Rule...>, const std::string& rule, bool fp64, const Row* rows, int count) {
  Schedule made;
  const bool known = ((rule == Rule::name && (made = fp64 ? Scheduler<Rule, double>(rows, count).made()
                                                          : Scheduler<Rule, float>(rows, count).made(),
                                              true)) ||
                      ...);
  if (!known) throw std::runtime_error("rule '" + rule + "' is not compiled into the CUDA engine; reinstall fusedopt");
  return made;
}

}  // namespace

Schedule schedule(const std::string& rule, bool fp64, const Row* rows, int count) {
  return schedule(MatrixRules{}, rule, fp64, rows, count);
}

}  // namespace fusedopt::cuda
