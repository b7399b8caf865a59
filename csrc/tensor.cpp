#include "tensor.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "shim.h"

namespace fusedopt {
namespace {

const DLPackExchangeAPI* exchange_api(PyTypeObject* type) {
  PyObject* capsule = PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__");
  if (!capsule) return nullptr;
  auto* api = static_cast<const DLPackExchangeAPI*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
  Py_DECREF(capsule);
  return api;
}

// Looked up once per type; a program meets two or three (Tensor, Parameter, a subclass).
const DLPackExchangeAPI* cached_api(PyTypeObject* type) {
  static std::vector<std::pair<PyTypeObject*, const DLPackExchangeAPI*>> known;
  for (const auto& [seen, api] : known)
    if (seen == type) return api;
  const DLPackExchangeAPI* api = exchange_api(type);
  Py_INCREF(type);  // so that no other type can take its address
  known.emplace_back(type, api);
  return api;
}

}  // namespace

bool view_tensor(PyObject* tensor, DLTensor& view, bool maybe_sparse) {
  const Read read = view_through_shim(tensor, view, maybe_sparse);
  if (read != Read::kUnavailable) return read == Read::kDone;
  const DLPackExchangeAPI* api = cached_api(Py_TYPE(tensor));
  if (api && api->dltensor_from_py_object_no_sync(tensor, &view) == 0) return true;
  PyErr_Clear();
  return false;
}

bool is_supported(const DLDataType& dtype, Codec& out) {
  if (dtype.lanes != 1) return false;
  if (dtype.code == kDLBfloat && dtype.bits == 16) return out = kBFloat16, true;
  if (dtype.code != kDLFloat) return false;
  if (dtype.bits == 32) return out = kFloat32, true;
  if (dtype.bits == 16) return out = kFloat16, true;
  if (dtype.bits == 64) return out = kFloat64, true;
  return false;
}

int64_t count(const DLTensor& view) {
  return std::accumulate(view.shape, view.shape + view.ndim, int64_t{1}, std::multiplies<int64_t>());
}

bool is_contiguous(const DLTensor& view) {
  if (count(view) == 0) return true;
  int64_t expected = 1;
  for (int i = view.ndim - 1; i >= 0; --i) {
    if (view.shape[i] == 1) continue;
    if (view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

bool is_dense(const DLTensor& view) {
  if (!view.strides || is_contiguous(view) || count(view) < 2) return true;
  std::vector<int> order;
  for (int i = 0; i < view.ndim; ++i)
    if (view.shape[i] != 1) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return view.strides[a] < view.strides[b]; });
  int64_t expected = 1;
  for (int i : order) {
    if (view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

uint64_t layout_hash(const DLTensor& view) {
  constexpr uint64_t prime = 0x9e3779b97f4a7c15;
  uint64_t hash = static_cast<uint64_t>(view.device.device_type) << 32 | static_cast<uint32_t>(view.device.device_id);
  for (int i = 0; i < view.ndim; ++i) {
    hash = (hash ^ static_cast<uint64_t>(view.shape[i])) * prime;
    hash = (hash ^ hash >> 29 ^ static_cast<uint64_t>(view.strides ? view.strides[i] : 0)) * prime;
  }
  return hash;
}

bool same_layout(const DLTensor& a, const DLTensor& b) {
  if (a.ndim != b.ndim || a.device.device_type != b.device.device_type || a.device.device_id != b.device.device_id)
    return false;
  const bool ordered = count(a) > 1;  // else any strides reach the same memory
  for (int i = 0; i < a.ndim; ++i) {
    if (a.shape[i] != b.shape[i]) return false;
    if (ordered && a.shape[i] > 1 && a.strides && b.strides && a.strides[i] != b.strides[i]) return false;
  }
  return true;
}

}  // namespace fusedopt
