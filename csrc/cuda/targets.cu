#include <cuda_runtime.h>

#include <algorithm>

#include "launch.h"

namespace fusedopt::cuda {
namespace {

constexpr int kTargets[] = {__CUDA_ARCH_LIST__};  // ascending: 800 is sm_80

// Machine code runs on later members of its generation; the last target's PTX on everything newer.
bool runs(int capability) {
  return capability >= *std::rbegin(kTargets) || std::any_of(std::begin(kTargets), std::end(kTargets), [&](int target) {
           return target / 100 == capability / 100 && target <= capability;
         });
}

}  // namespace

std::string targets() {
  std::string text;
  for (int target : kTargets) text += (text.empty() ? "sm_" : " sm_") + std::to_string(target / 10);
  return text;
}

std::string unavailable(int device) {
  int driver = 0, count = 0, major = 0, minor = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
  cudaError_t error = cudaGetDeviceCount(&count);
  if (!error && device >= count) return "there are only " + std::to_string(count) + " GPUs";
  if (!error) error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (!error) error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  if (error) return std::string("CUDA cannot use the GPU: ") + cudaGetErrorString(error);
  if (runs(100 * major + 10 * minor)) return "";
  return "this GPU is an sm_" + std::to_string(10 * major + minor) + ", and the engine was compiled for " + targets();
}

}  // namespace fusedopt::cuda
