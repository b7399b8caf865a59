#include "phases.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <new>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fusedopt {
namespace {

// From this many elements on a tensor is shared by all threads; smaller ones go whole to one thread.
constexpr int64_t kShared = 1 << 20;
constexpr size_t kOpen = 2;  // shared tensors that are worked on at a time: more would not stay in cache

struct Release {
  static constexpr std::align_val_t alignment{64};
  void operator()(void* memory) const { ::operator delete(memory, alignment); }
};
using Memory = std::unique_ptr<char, Release>;

// Memory for temporaries and partial sums, uninitialised, for `count` tensors of those that are shared, or are not.
class Scratch {
 public:
  Scratch(const std::vector<Row>& rows, const MatrixSteps& steps, bool shared, size_t count) {
    for (const Row& row : rows)
      if ((row.numel >= kShared) == shared && row.numel > 0) size_ = std::max(size_, steps.scratch(row));
    memory_.reset(static_cast<char*>(::operator new(size_ * count, Release::alignment)));
  }
  void* at(size_t i) const { return memory_.get() + size_ * i; }

 private:
  int64_t size_ = 0;
  Memory memory_;
};

// What is known of one tensor in this step; `seen` has a place for every piece of any phase, or none.
struct Tensor {
  const Row& row;
  const Scalars& scalars;
  std::vector<Seen> seen;

  Tensor(const Row& row, const MatrixSteps& steps, const Scalars& scalars, bool watches) : row(row), scalars(scalars) {
    int64_t most = 0;
    for (int i = 0; i < steps.count; ++i) most = std::max(most, steps.phases[i].pieces(row));
    if (watches) seen.resize(most);
  }
  MatrixWork with(void* scratch) {
    return {row, scalars.table + static_cast<int64_t>(row.scalars) * scalars.columns, scalars.coefficient, scratch,
            seen.empty() ? nullptr : seen.data()};
  }
  void report(Seen* to) const {
    for (const Seen& piece : seen) to->add(piece);
  }
};

// One tensor's phases in order, each in pieces, of which every thread has a share.
class Job {
 public:
  Job(const Row& row, const MatrixSteps& steps, const Scalars& scalars, int shares, Seen* seen)
      : row_(row), steps_(steps), tensor_(row, steps, scalars, seen), seen_(seen), shares_(shares), next_(shares) {}

  void open(void* scratch) {
    scratch_ = scratch;
    begin(0);
  }
  // Runs a piece of this share, or of any if `steal` or if there are fewer pieces than shares; false if there is none.
  bool run_one(int share, bool steal) {
    for (int i = 0; i < shares_; ++i) {
      if (i == 1 && !steal && !few_.load(std::memory_order_relaxed)) return false;
      if (run_from((share + i) % shares_)) return true;
    }
    return false;
  }
  bool finished() const { return finished_.load(std::memory_order_acquire); }

 private:
  // A phase, and how many pieces of a share are taken in it.
  struct Next {
    std::atomic<uint64_t> word{kNone};
    static constexpr uint64_t kNone = ~uint64_t{0};
    static constexpr int bits = 48;
  };

  bool run_from(int share) {
    uint64_t at = next_[share].word.load(std::memory_order_acquire);
    int phase;
    int64_t piece, first, last;
    do {
      if (at == Next::kNone) return false;
      phase = static_cast<int>(at >> Next::bits);
      piece = static_cast<int64_t>(at & ((uint64_t{1} << Next::bits) - 1));
      const int64_t pieces = steps_.phases[phase].pieces(row_);
      first = pieces * share / shares_, last = pieces * (share + 1) / shares_;
      if (piece == last - first) return false;
    } while (!next_[share].word.compare_exchange_weak(at, at + 1, std::memory_order_acq_rel));
    const Phase& of = steps_.phases[phase];
    of.run(tensor_.with(scratch_), of.nth(piece, first, last));
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) begin(phase + 1);
    return true;
  }
  void begin(int phase) {
    if (phase == steps_.count) {
      tensor_.report(seen_);
      return finished_.store(true, std::memory_order_release);
    }
    const int64_t pieces = steps_.phases[phase].pieces(row_);
    few_.store(pieces < shares_, std::memory_order_relaxed);
    left_.store(pieces, std::memory_order_relaxed);
    for (Next& next : next_) next.word.store(static_cast<uint64_t>(phase) << Next::bits, std::memory_order_release);
  }

  const Row& row_;
  const MatrixSteps& steps_;
  Tensor tensor_;
  Seen* const seen_;
  const int shares_;
  void* scratch_ = nullptr;
  std::vector<Next> next_;        // of every share
  std::atomic<int64_t> left_{0};  // pieces of the phase that are not done
  std::atomic<bool> few_{false}, finished_{false};
};

// A thread's own pieces first, of the oldest tensor; then a new tensor; then other threads' pieces; then it waits.
void take_part(std::deque<Job>& jobs, std::atomic<size_t>& opened, const Scratch& scratch, int share) {
  for (size_t first = 0; first < jobs.size();) {
    if (jobs[first].finished()) {
      ++first;
      continue;
    }
    size_t end = opened.load();
    bool ran = false;
    for (const bool steal : {false, true}) {
      for (size_t i = first; i < end && !ran; ++i) ran = jobs[i].run_one(share, steal);
      if (ran) break;
      if (end < jobs.size() && end < first + kOpen && opened.compare_exchange_strong(end, end + 1)) {
        jobs[end].open(scratch.at(end % kOpen));  // its last owner is finished
        ran = true;
        break;
      }
    }
#if defined(__x86_64__)
    if (!ran) _mm_pause();
#endif
  }
}

// All phases on the calling thread.
void step_whole(const Row& row, const MatrixSteps& steps, const Scalars& scalars, void* scratch, Seen* seen) {
  Tensor tensor(row, steps, scalars, seen);
  const MatrixWork work = tensor.with(scratch);
  for (const Phase* phase = steps.phases; phase != steps.phases + steps.count; ++phase)
    for (int64_t n = 0, pieces = phase->pieces(row); n < pieces; ++n) phase->run(work, phase->nth(n, 0, pieces));
  tensor.report(seen);
}

}  // namespace

void step_matrices(const std::vector<Row>& rows, const MatrixSteps& steps, const Scalars& scalars, int threads,
                   Seen* seen) {
  const auto seen_of = [&](int64_t row) { return seen ? seen + row : nullptr; };
  std::deque<Job> jobs;
  for (const Row& row : rows)
    if (row.numel >= kShared) jobs.emplace_back(row, steps, scalars, threads, seen_of(&row - rows.data()));
  std::atomic<size_t> opened{0};
  const Scratch scratch(rows, steps, true, kOpen);
  const int64_t count = static_cast<int64_t>(rows.size());
#pragma omp parallel num_threads(threads) if (count > 1 || !jobs.empty())
  {
    take_part(jobs, opened, scratch, omp_get_thread_num());
    const Scratch own(rows, steps, false, 1);
#pragma omp for schedule(dynamic)
    for (int64_t r = 0; r < count; ++r)
      if (rows[r].numel > 0 && rows[r].numel < kShared) step_whole(rows[r], steps, scalars, own.at(0), seen_of(r));
  }
}

}  // namespace fusedopt
