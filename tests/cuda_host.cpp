// The CUDA engine's kernels as host code, on CPU tensors: one block after the other, its threads as fibers that take
// turns at every barrier and exchange.
#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "cuda/threads.cuh"

namespace {

class Block {
 public:
  // False when threads would wait for each other for ever: some make more calls than others.
  bool play(int threads, std::function<void(int)> body) {
    threads_ = threads, body_ = std::move(body), calls_ = 0, done_ = 0, even_ = true;
    if (static_cast<int>(fibers_.size()) < threads) fibers_.resize(threads);
    for (int thread = 0; thread < threads; ++thread) prepare(fibers_[thread]);
    fibers_[current_ = 0].begun = true;
    swapcontext(&main_, &fibers_[0].context);
    return even_ && done_ == threads;
  }

  int thread() const { return current_; }
  int calls() const { return calls_; }
  uint64_t& mailbox(int call, int thread) { return fibers_[thread].mail[call % 2]; }

  // Until all other threads have come here.
  void wait() {
    even_ = even_ && done_ == 0;
    if (current_ + 1 == threads_) ++calls_;
    turn_to((current_ + 1) % threads_);
  }

 private:
  struct Fiber {
    ucontext_t context;  // to begin in
    jmp_buf place;       // to go on from: unlike swapcontext, a jump makes no system call
    bool begun;
    std::unique_ptr<char[]> stack{new char[kStack]};
    uint64_t mail[2];
  };
  static constexpr int kStack = 1 << 16;

  void prepare(Fiber& fiber) {
    getcontext(&fiber.context);
    fiber.context.uc_stack = {fiber.stack.get(), 0, kStack};
    fiber.context.uc_link = nullptr;
    fiber.begun = false;
    makecontext(&fiber.context, &Block::enter, 0);
  }
  void turn_to(int thread) {
    if (_setjmp(fibers_[current_].place)) return;
    Fiber& next = fibers_[current_ = thread];
    if (next.begun) _longjmp(next.place, 1);
    next.begun = true;
    setcontext(&next.context);
  }
  static void enter();

  int threads_, current_, calls_, done_;
  bool even_;
  std::function<void(int)> body_;
  std::vector<Fiber> fibers_;
  ucontext_t main_;
} block;

void Block::enter() {
  block.body_(block.current_);
  if (++block.done_ < block.threads_) block.turn_to((block.current_ + 1) % block.threads_);
  setcontext(&block.main_);
}

}  // namespace

namespace fusedopt::cuda {

void barrier() { block.wait(); }
void warp_barrier() { block.wait(); }  // only played warps have it

template <class T>
T exchange(T value, int mask) {
  const int call = block.calls();
  std::memcpy(&block.mailbox(call, block.thread()), &value, sizeof(T));
  block.wait();
  std::memcpy(&value, &block.mailbox(call, block.thread() ^ mask), sizeof(T));
  return value;
}

}  // namespace fusedopt::cuda

#include "cuda/engine.cuh"
#include "cuda/reduce.cuh"
#include "cuda/schedule.cpp"
#include "cuda/sweep.cuh"
#include "cuda/totals.cuh"
#include "cuda/values.cuh"
#include "rules/all.h"

using namespace fusedopt;
using namespace fusedopt::cuda;

template <class Visit>
void each_span(const Work& work, const Visit& visit) {
  for (int chunk = 0; chunk < work.count; ++chunk) {
    Span span;
    for (int thread = 0; thread < kThreads; ++thread) span.read(work, chunk, thread);
    visit(span);
  }
}

template <class Rule, class T>
bool play(const Work& work, const ScalarTable& table) {
  each_span(work, [&](const Span& span) {
    Scalars<Rule, T> k;
    k.read(table, span.row.scalars);
    for (int thread = 0; thread < kThreads; ++thread) step_span(span, k, thread);
  });
  return true;
}

// Warp by warp, as warps do not wait for each other.
template <class Rule, class T>
bool play_coded(const Work& work, const ScalarTable& table) {
  bool even = true;
  each_span(work, [&](const Span& span) {
    Scalars<Rule, T> k;
    Keys keys;
    k.read(table, span.row.scalars);
    for (int stream = 0; stream < kMaxStreams; ++stream) keys.read(table, span.row, stream);
    for (int warp = 0; warp < kThreads; warp += 32)
      even = block.play(32, [&](int lane) { step_blocks(span, k, keys, warp + lane); }) && even;
  });
  return even;
}

// One launch of a rule that sees matrices.
template <class Part, class... Table>
bool play(const Schedule::Launch& launch, const MatrixWork& work, const Table&... table) {
  const auto shared = std::make_unique<typename Part::Shared>();
  const auto chunks = reinterpret_cast<const cuda::Chunk*>(work.words);
  bool even = true;
  for (int64_t i = launch.begin; i < launch.end; ++i)
    even = block.play(kThreads, [&](int thread) { Part::run(work, table..., chunks[i], thread, *shared); }) && even;
  return even;
}

template <class Rule, class T, class... Kernel>
bool play(Kernels<Kernel...>, const Schedule& schedule, const MatrixWork& work, const ScalarTable& table) {
  auto launch = schedule.launches.begin();
  const auto both = [&](auto kernel) {
    using K = typename decltype(kernel)::type;
    using Over = std::conditional_t<K::domain == Shape::element, Sweep<Rule, K, T>, Values<Rule, K, T>>;
    const auto& over = *launch++;
    const auto& totals = *launch++;
    return play<Over>(over, work, table) && play<Totals<T>>(totals, work);
  };
  return (both(Named<Kernel>{}) && ...);
}

template <class... Rule, class Visit>
bool visit(Rules<Rule...>, const std::string& rule, const Visit& visit) {
  return ((rule == Rule::name && visit(Named<Rule>{})) || ...);
}

template <class Visit>
bool played(const Visit& visit) {
  misaligned = false;
  return visit() && !misaligned;
}

// Each is false for an unknown rule, a misaligned access, or threads that wait for each other for ever.
extern "C" bool step(const char* rule, bool fp64, bool coded, const Work* work, const ScalarTable* table) {
  return played([&] {
    return visit(ElementRules{}, rule, [&](auto named) {
      using Rule = typename decltype(named)::type;
      if (coded) return fp64 ? play_coded<Rule, double>(*work, *table) : play_coded<Rule, float>(*work, *table);
      return fp64 ? play<Rule, double>(*work, *table) : play<Rule, float>(*work, *table);
    });
  });
}

extern "C" bool step_matrices(const char* rule, bool fp64, const Schedule* schedule, const MatrixWork* work,
                              const ScalarTable* table) {
  return played([&] {
    return visit(MatrixRules{}, rule, [&](auto named) {
      using Rule = typename decltype(named)::type;
      constexpr typename Rule::List list;
      return fp64 ? play<Rule, double>(list, *schedule, *work, *table)
                  : play<Rule, float>(list, *schedule, *work, *table);
    });
  });
}

extern "C" Schedule* make_schedule(const char* rule, bool fp64, const Row* rows, int count) {
  return new Schedule(schedule(rule, fp64, rows, count));
}
extern "C" void free_schedule(Schedule* schedule) { delete schedule; }
extern "C" int64_t scratch_of(const Schedule* schedule) { return schedule->scratch; }
extern "C" int64_t words_of(const Schedule* schedule) { return static_cast<int64_t>(schedule->words.size()); }
extern "C" void write_schedule(const Schedule* schedule, int64_t* to) {
  std::copy(schedule->words.begin(), schedule->words.end(), to);
}

extern "C" double sum_squares(bool fp64, const Work* work) {
  double sum = 0;
  each_span(*work, [&](const Span& span) {
    for (int thread = 0; thread < kThreads; ++thread)
      sum += fp64 ? squares<double>(span, thread) : squares<float>(span, thread);
  });
  return sum;
}

extern "C" int64_t chunk() { return kChunk; }
extern "C" int64_t row_words() { return sizeof(Row) / sizeof(int64_t); }
