#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>

#include "../rules/all.h"
#include "reduce.cuh"
#include "totals.cuh"

namespace fusedopt::cuda {

template <class Rule>
std::vector<const void*> kernels_of(bool fp64);  // defined in the rule's own translation unit, see rule.cu.in

namespace {

void check(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error("CUDA failed at " + what + ": " + cudaGetErrorString(error) + " (" +
                           cudaGetErrorName(error) + ")");
}

// Blocks that fill the device: those resident on one multiprocessor times the multiprocessors.
int full_grid(const void* kernel, int device, const std::string& what) {
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, int> known;
  const std::lock_guard<std::mutex> lock(mutex);
  int& blocks = known[{kernel, device}];
  if (blocks == 0) {
    int resident = 0, multiprocessors = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, kThreads, 0), what);
    check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device), what);
    blocks = resident * multiprocessors;
  }
  return blocks;
}

struct Grid {
  int blocks, threads;
};

template <class... Argument>
void launch(const void* kernel, Grid grid, Place place, const std::string& what, const Argument&... argument) {
  void* arguments[] = {const_cast<Argument*>(&argument)...};
  const auto stream = static_cast<cudaStream_t>(place.stream);
  check(cudaLaunchKernel(kernel, dim3(grid.blocks), dim3(grid.threads), arguments, 0, stream), what);
  check(cudaGetLastError(), what);
}

template <class... Rule>
std::vector<const void*> find(Rules<Rule...>, const std::string& name, bool fp64) {
  std::vector<const void*> kernels;
  ((name == Rule::name ? void(kernels = kernels_of<Rule>(fp64)) : void()), ...);
  if (kernels.empty())
    throw std::runtime_error("rule '" + name + "' is not compiled into the CUDA engine; reinstall fusedopt");
  return kernels;
}

// A launch copies its arguments when it is enqueued, and a graph keeps that copy: no pinned memory to hold on to.
template <int Capacity>
struct Words {
  int64_t value[Capacity];
};

template <int Capacity>
__global__ void upload_kernel(const __grid_constant__ Words<Capacity> words, int count, int64_t* to) {
  for (int i = threadIdx.x; i < count; i += kThreads) to[i] = words.value[i];
}

template <int Capacity>
void upload_words(const int64_t* from, int count, int64_t* to, Place place) {
  Words<Capacity> words;
  std::copy_n(from, count, words.value);
  const auto kernel = reinterpret_cast<const void*>(&upload_kernel<Capacity>);
  launch(kernel, {1, kThreads}, place, "the upload of pointers and scalars", words, count, to);
}

template <class T>
__global__ void __launch_bounds__(kThreads) totals_kernel(const MatrixWork work, const Chunk* chunks) {
  __shared__ typename Totals<T>::Shared shared;
  Totals<T>::run(work, chunks[blockIdx.x], threadIdx.x, shared);
}

}  // namespace

void step(const std::string& rule, bool fp64, bool coded, const Work& work, const ScalarTable& scalars, Place place) {
  if (work.count == 0) return;
  const std::string what = "the step of rule '" + rule + "'";
  const void* kernel = find(ElementRules{}, rule, fp64)[coded ? 1 : 0];
  check(cudaSetDevice(place.device), what);
  const int blocks = std::min(work.count, full_grid(kernel, place.device, what));
  launch(kernel, {blocks, kThreads}, place, what, work, scalars);
}

void step_matrices(const std::string& rule, bool fp64, const Schedule& schedule, const MatrixWork& work,
                   const ScalarTable& scalars, Place place) {
  const std::string what = "the step of rule '" + rule + "'";
  const std::vector<const void*> kernels = find(MatrixRules{}, rule, fp64);
  check(cudaSetDevice(place.device), what);
  const auto run = [&](const Schedule::Launch& over, const void* kernel, const auto&... table) {
    const auto chunks = reinterpret_cast<const Chunk*>(work.words + over.begin);
    const int blocks = static_cast<int>(over.end - over.begin);
    if (blocks > 0) launch(kernel, {blocks, kThreads}, place, what, work, chunks, table...);
  };
  const void* totals = fp64 ? reinterpret_cast<const void*>(&totals_kernel<double>)
                            : reinterpret_cast<const void*>(&totals_kernel<float>);
  for (size_t i = 0; i < kernels.size(); ++i) {
    run(schedule.launches[2 * i], kernels[i], scalars);
    run(schedule.launches[2 * i + 1], totals);
  }
}

void sum_squares(bool fp64, const Work& work, double* partials, double* sum, Place place) {
  const std::string what = "the sum of squared gradients";
  const void* kernel = fp64 ? reinterpret_cast<const void*>(&squares_kernel<double>)
                            : reinterpret_cast<const void*>(&squares_kernel<float>);
  check(cudaSetDevice(place.device), what);
  const int blocks = std::min(work.count, full_grid(kernel, place.device, what));
  if (blocks > 0) launch(kernel, {blocks, kThreads}, place, what, work, partials);
  launch(reinterpret_cast<const void*>(&total_kernel), {1, kTotalThreads}, place, what, partials, work.count, sum);
}

void upload(const int64_t* from, int64_t words, int64_t* to, Place place) {
  constexpr int small = 480, large = 4000;  // within the 4 KB of any launch, and the 32 KB that Volta and later take
  check(cudaSetDevice(place.device), "the upload of pointers and scalars");
  for (int64_t done = 0; done < words; done += large) {
    const int count = static_cast<int>(std::min<int64_t>(words - done, large));
    count <= small ? upload_words<small>(from + done, count, to + done, place)
                   : upload_words<large>(from + done, count, to + done, place);
  }
}

}  // namespace fusedopt::cuda
