#include "dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>

#include "isas.h"

namespace fusedopt {

#define FUSEDOPT_DECLARE(isa) \
  namespace isa {             \
  const Isa& kernels();       \
  }
FUSEDOPT_FOR_EACH_ISA(FUSEDOPT_DECLARE)

namespace {

bool runs_here(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx512")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return true;
}

std::vector<const Isa*> compiled() {  // best last
#define FUSEDOPT_LIST(isa) &isa::kernels(),
  return {FUSEDOPT_FOR_EACH_ISA(FUSEDOPT_LIST)};
}

const Isa& choose() {
  const char* wanted = std::getenv("FUSEDOPT_ISA");
  const std::vector<const Isa*> all = compiled();
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    const Isa& isa = **it;
    if (runs_here(isa.name) && (!wanted || !*wanted || std::string(wanted) == isa.name)) return isa;
  }
  throw std::runtime_error("FUSEDOPT_ISA=" + std::string(wanted) + " is not compiled in or does not run on this CPU");
}

// The rule of this name, or null.
template <class Entry>
const Entry* find(const Entry* rules, int count, const std::string& name) {
  const Entry* end = rules + count;
  const Entry* found = std::find_if(rules, end, [&](const Entry& rule) { return name == rule.name; });
  return found == end ? nullptr : found;
}

}  // namespace

const Isa& kernels() {
  static const Isa& chosen = choose();
  return chosen;
}

std::vector<std::string> compiled_isas() {
  std::vector<std::string> names;
  for (const Isa* isa : compiled()) names.push_back(isa->name);
  return names;
}

namespace {

void step_elements(const Table& table, StepKernel kernel, const Scalars& scalars, int threads) {
  const int64_t tasks = static_cast<int64_t>(table.tasks().size()) - 1;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (tasks > 1)
  for (int64_t task = 0; task < tasks; ++task) {
    const int64_t first = table.tasks()[task], end = table.tasks()[task + 1];
    kernel({table.rows().data(), table.chunks().data() + first, end - first, scalars.table, scalars.columns,
            scalars.coefficient});
  }
}

// Memory for temporaries and partial sums, uninitialised.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::operator delete(memory_, kAlignment); }
  void* reserve(int64_t bytes) {
    if (bytes <= size_) return memory_;
    ::operator delete(memory_, kAlignment);
    memory_ = ::operator new(bytes, kAlignment);
    size_ = bytes;
    return memory_;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  void* memory_ = nullptr;
  int64_t size_ = 0;
};

// From this many elements on a tensor takes all threads, one tensor after another; smaller ones go whole to one thread,
// so that later phases find them in its cache.
constexpr int64_t kShared = 1 << 20;

MatrixWork work_of(const Row& row, const MatrixSteps& steps, const Scalars& scalars, Scratch& scratch) {
  const double* own = scalars.table + static_cast<int64_t>(row.scalars) * scalars.columns;
  return {row, own, scalars.coefficient, scratch.reserve(steps.scratch(row))};
}

void step_shared(const std::vector<Row>& rows, const MatrixSteps& steps, const Scalars& scalars, int threads) {
  Scratch scratch;
  for (const Row& row : rows) {
    if (row.numel < kShared) continue;
    const MatrixWork work = work_of(row, steps, scalars, scratch);
#pragma omp parallel num_threads(threads)
    for (int phase = 0; phase < steps.count; ++phase) {
      const int64_t pieces = steps.phases[phase].pieces(row);
#pragma omp for schedule(dynamic)
      for (int64_t n = 0; n < pieces; ++n) steps.phases[phase].run_nth(work, n, pieces);
    }
  }
}

void step_whole(const std::vector<Row>& rows, const MatrixSteps& steps, const Scalars& scalars, int threads) {
  const int64_t count = static_cast<int64_t>(rows.size());
#pragma omp parallel num_threads(threads) if (count > 1)
  {
    Scratch scratch;
#pragma omp for schedule(dynamic)
    for (int64_t r = 0; r < count; ++r) {
      if (rows[r].numel >= kShared || rows[r].numel == 0) continue;
      const MatrixWork work = work_of(rows[r], steps, scalars, scratch);
      for (int phase = 0; phase < steps.count; ++phase) {
        const int64_t pieces = steps.phases[phase].pieces(rows[r]);
        for (int64_t n = 0; n < pieces; ++n) steps.phases[phase].run_nth(work, n, pieces);
      }
    }
  }
}

}  // namespace

void cpu_step(const Table& table, const std::string& rule, bool fp64, const Scalars& scalars, int threads) {
  const Isa& all = kernels();
  if (const RuleKernels* found = find(all.rules, all.rule_count, rule))
    return step_elements(table, fp64 ? found->fp64 : found->fp32, scalars, threads);
  const MatrixKernels* found = find(all.matrix_rules, all.matrix_rule_count, rule);
  if (!found)
    throw std::runtime_error("rule '" + rule + "' is not compiled into fusedopt._C; run `make rules` and rebuild");
  const MatrixSteps& steps = fp64 ? found->fp64 : found->fp32;
  step_shared(table.rows(), steps, scalars, threads);
  step_whole(table.rows(), steps, scalars, threads);
}

double cpu_sum_squares(const Table& table, bool fp64, int threads) {
  const SumSquaresKernel kernel = fp64 ? kernels().sum_squares_fp64 : kernels().sum_squares_fp32;
  const int64_t chunks = static_cast<int64_t>(table.chunks().size());
  std::vector<double> partial(chunks);
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads) if (chunks > 4)
  for (int64_t c = 0; c < chunks; ++c) {
    const Chunk& chunk = table.chunks()[c];
    partial[c] = kernel(table.rows()[chunk.row], chunk.begin, chunk.end);
  }
  double sum = 0;
  for (double x : partial) sum += x;
  return sum;
}

}  // namespace fusedopt
