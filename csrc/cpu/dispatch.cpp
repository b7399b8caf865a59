#include "dispatch.h"

#include <cstdlib>
#include <stdexcept>

#include "isas.h"

namespace fusedopt {

#define FUSEDOPT_DECLARE(isa) \
  namespace isa {             \
  Kernels kernels();          \
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

std::vector<Kernels> compiled() {  // best last
#define FUSEDOPT_LIST(isa) isa::kernels(),
  return {FUSEDOPT_FOR_EACH_ISA(FUSEDOPT_LIST)};
}

Kernels choose() {
  const char* wanted = std::getenv("FUSEDOPT_ISA");
  const std::vector<Kernels> all = compiled();
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    if (!runs_here(it->isa)) continue;
    if (!wanted || !*wanted || std::string(wanted) == it->isa) return *it;
  }
  throw std::runtime_error("FUSEDOPT_ISA=" + std::string(wanted) + " is not compiled in or does not run on this CPU");
}

const RuleKernels& find(const std::string& rule) {
  const Kernels& all = kernels();
  for (int i = 0; i < all.rule_count; ++i)
    if (rule == all.rules[i].name) return all.rules[i];
  throw std::runtime_error("rule '" + rule + "' is not compiled into fusedopt._C; run `make rules` and rebuild");
}

}  // namespace

const Kernels& kernels() {
  static const Kernels chosen = choose();
  return chosen;
}

std::vector<std::string> compiled_isas() {
  std::vector<std::string> names;
  for (const Kernels& isa : compiled()) names.push_back(isa.isa);
  return names;
}

void cpu_step(const Table& table, const std::string& rule, bool fp64, const double* scalars, int columns,
              double coefficient, int threads) {
  const StepKernel kernel = fp64 ? find(rule).fp64 : find(rule).fp32;
  const int64_t tasks = static_cast<int64_t>(table.tasks().size()) - 1;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (tasks > 1)
  for (int64_t task = 0; task < tasks; ++task) {
    const int64_t first = table.tasks()[task], end = table.tasks()[task + 1];
    kernel({table.rows().data(), table.chunks().data() + first, end - first, scalars, columns, coefficient});
  }
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
