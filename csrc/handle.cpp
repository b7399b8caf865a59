#include "handle.h"

#include <dlfcn.h>

#include "tensor.h"

namespace fusedopt {
namespace {

// The part of torch/csrc/inductor/aoti_torch/c/shim.h that is used; every function returns 0 on success.
struct Shim {
  using Handle = void*;
  int (*data_ptr)(Handle, void**);
  int (*dim)(Handle, int64_t*);
  int (*sizes)(Handle, int64_t**);
  int (*strides)(Handle, int64_t**);
  int (*dtype)(Handle, int32_t*);
  int (*device_type)(Handle, int32_t*);
  int (*device_index)(Handle, int32_t*);
  int (*destroy)(Handle);
  int32_t float32, bfloat16, float16, float64, cpu;
  PyObject* alloc = nullptr;  // Python's tensor -> capsule of a new handle; null when this torch lacks any of these

  Shim() {
    void* library = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    bool found = library != nullptr;
    auto resolve = [&](auto& function, const char* name) {
      void* symbol = found ? dlsym(library, name) : nullptr;
      found = symbol != nullptr;
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
    };
    auto constant = [&](int32_t& value, const char* name) {
      int32_t (*function)() = nullptr;
      resolve(function, name);
      if (found) value = function();
    };
    resolve(data_ptr, "aoti_torch_get_data_ptr");
    resolve(dim, "aoti_torch_get_dim");
    resolve(sizes, "aoti_torch_get_sizes");
    resolve(strides, "aoti_torch_get_strides");
    resolve(dtype, "aoti_torch_get_dtype");
    resolve(device_type, "aoti_torch_get_device_type");
    resolve(device_index, "aoti_torch_get_device_index");
    resolve(destroy, "aoti_torch_delete_tensor_object");
    constant(float32, "aoti_torch_dtype_float32");
    constant(bfloat16, "aoti_torch_dtype_bfloat16");
    constant(float16, "aoti_torch_dtype_float16");
    constant(float64, "aoti_torch_dtype_float64");
    constant(cpu, "aoti_torch_device_type_cpu");
    PyObject* module = found ? PyImport_ImportModule("torch._C._aoti") : nullptr;
    if (module) alloc = PyObject_GetAttrString(module, "unsafe_alloc_void_ptr_from_tensor");
    Py_XDECREF(module);
    PyErr_Clear();
  }

  DLDataType dlpack(int32_t type) const {
    const auto code = static_cast<uint8_t>(type == bfloat16 ? kDLBfloat : kDLFloat);
    const int bits = type == float32 ? 32 : type == float64 ? 64 : type == bfloat16 || type == float16 ? 16 : 0;
    return {code, static_cast<uint8_t>(bits), 1};
  }
};

const Shim& shim() {
  static const Shim loaded;
  return loaded;
}

}  // namespace

void Handle::reset() {
  if (tensor_) shim().destroy(tensor_);
  tensor_ = owner_ = nullptr;
}

bool Handle::acquire(PyObject* tensor) {
  reset();
  PyObject* capsule = PyObject_CallOneArg(shim().alloc, tensor);
  if (capsule) tensor_ = PyCapsule_GetPointer(capsule, nullptr);
  Py_XDECREF(capsule);
  PyErr_Clear();
  owner_ = tensor_ ? tensor : nullptr;
  return tensor_ != nullptr;
}

bool Handle::view(PyObject* tensor, DLTensor& view) {
  const Shim& torch = shim();
  if (!torch.alloc) return view_tensor(tensor, view);
  if (tensor != owner_ && !acquire(tensor)) return false;
  int64_t dim = 0;
  int32_t dtype = 0, device_type = 0, device_index = 0;
  if (torch.data_ptr(tensor_, &view.data) || torch.dim(tensor_, &dim) || torch.sizes(tensor_, &view.shape) ||
      torch.strides(tensor_, &view.strides) || torch.dtype(tensor_, &dtype) ||
      torch.device_type(tensor_, &device_type) || torch.device_index(tensor_, &device_index))
    return false;
  view.ndim = static_cast<int32_t>(dim);
  view.dtype = torch.dlpack(dtype);
  view.device = {device_type == torch.cpu ? kDLCPU : kDLCUDA, device_type == torch.cpu ? 0 : device_index};
  view.byte_offset = 0;
  return true;
}

}  // namespace fusedopt
