#include "shim.h"

#include <dlfcn.h>

#include <cstdint>
#include <initializer_list>

namespace fusedopt {
namespace {

using Handle = void*;  // AtenTensorHandle: the address of an at::Tensor

// The part of torch/csrc/inductor/aoti_torch/c/shim.h that is used; every getter returns 0 on success.
struct Shim {
  bool found = false;
  int (*data_ptr)(Handle, void**);
  int (*dim)(Handle, int64_t*);
  int (*sizes)(Handle, int64_t**);
  int (*strides)(Handle, int64_t**);
  int (*dtype)(Handle, int32_t*);
  int (*layout)(Handle, int32_t*);
  int (*device_type)(Handle, int32_t*);
  int (*device_index)(Handle, int32_t*);
  int (*destroy)(Handle);
  int32_t float32, bfloat16, float16, float64, uint8, int8, int16, strided, cpu;

  Shim() {
    library_ = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    found = library_ != nullptr;
    resolve(data_ptr, "aoti_torch_get_data_ptr");
    resolve(dim, "aoti_torch_get_dim");
    resolve(sizes, "aoti_torch_get_sizes");
    resolve(strides, "aoti_torch_get_strides");
    resolve(dtype, "aoti_torch_get_dtype");
    resolve(layout, "aoti_torch_get_layout");
    resolve(device_type, "aoti_torch_get_device_type");
    resolve(device_index, "aoti_torch_get_device_index");
    resolve(destroy, "aoti_torch_delete_tensor_object");
    constant(float32, "aoti_torch_dtype_float32");
    constant(bfloat16, "aoti_torch_dtype_bfloat16");
    constant(float16, "aoti_torch_dtype_float16");
    constant(float64, "aoti_torch_dtype_float64");
    constant(uint8, "aoti_torch_dtype_uint8");
    constant(int8, "aoti_torch_dtype_int8");
    constant(int16, "aoti_torch_dtype_int16");
    constant(strided, "aoti_torch_layout_strided");
    constant(cpu, "aoti_torch_device_type_cpu");
  }

  DLDataType dlpack(int32_t type) const {
    if (type == uint8) return {kDLUInt, 8, 1};
    if (type == int8 || type == int16) return {kDLInt, static_cast<uint8_t>(type == int8 ? 8 : 16), 1};
    const int bits = type == float32 ? 32 : type == float64 ? 64 : type == bfloat16 || type == float16 ? 16 : 0;
    return {static_cast<uint8_t>(type == bfloat16 ? kDLBfloat : kDLFloat), static_cast<uint8_t>(bits), 1};
  }

 private:
  template <class Function>
  void resolve(Function& function, const char* name) {
    void* symbol = found ? dlsym(library_, name) : nullptr;
    found = symbol != nullptr;
    function = reinterpret_cast<Function>(symbol);
  }
  void constant(int32_t& value, const char* name) {
    int32_t (*function)() = nullptr;
    resolve(function, name);
    if (found) value = function();
  }
  void* library_;
};

const Shim& shim() {
  static const Shim loaded;
  return loaded;
}

PyObject* attribute(const char* module, const char* name) {
  PyObject* object = PyImport_ImportModule(module);
  PyObject* value = object ? PyObject_GetAttrString(object, name) : nullptr;
  Py_XDECREF(object);
  return value;
}

// The offset in a Python tensor at which it keeps its at::Tensor: the one word equal to what a handle of the same
// tensor points to. Negative if there is none or more than one.
Py_ssize_t offset_in(PyObject* tensor, PyObject* alloc) {
  PyObject* capsule = PyObject_CallOneArg(alloc, tensor);
  const Handle handle = capsule ? PyCapsule_GetPointer(capsule, nullptr) : nullptr;
  Py_XDECREF(capsule);
  if (!handle) return -1;
  Py_ssize_t found = -1;
  int matches = 0;
  for (Py_ssize_t at = sizeof(PyObject); at + Py_ssize_t(sizeof(void*)) <= Py_TYPE(tensor)->tp_basicsize;
       at += sizeof(void*))
    if (*reinterpret_cast<void**>(reinterpret_cast<char*>(tensor) + at) == *static_cast<void**>(handle)) {
      found = at;
      ++matches;
    }
  shim().destroy(handle);
  return matches == 1 ? found : -1;
}

struct Layout {
  PyTypeObject* tensor_type = nullptr;
  Py_ssize_t offset = -1;

  Layout() {
    if (!shim().found) return;
    PyObject* alloc = attribute("torch._C._aoti", "unsafe_alloc_void_ptr_from_tensor");
    PyObject* make = attribute("torch", "Tensor");
    PyObject* wrap = attribute("torch.nn", "Parameter");
    PyObject* plain = make ? PyObject_CallNoArgs(make) : nullptr;
    PyObject* parameter = wrap && plain ? PyObject_CallOneArg(wrap, plain) : nullptr;
    if (alloc && parameter) {
      offset = offset_in(plain, alloc);
      if (offset != offset_in(parameter, alloc)) offset = -1;
      tensor_type = reinterpret_cast<PyTypeObject*>(make);  // kept for the life of the process
    } else {
      Py_XDECREF(make);
    }
    for (PyObject* object : {alloc, wrap, plain, parameter}) Py_XDECREF(object);
    PyErr_Clear();
  }
};

const Layout& python_layout() {
  static const Layout found;
  return found;
}

}  // namespace

bool is_at(PyObject* tensor, const void* address, const DLDataType& dtype) {
  if (python_layout().offset < 0) return false;
  const Handle handle = reinterpret_cast<char*>(tensor) + python_layout().offset;
  void* data = nullptr;
  int32_t type = 0;
  if (shim().data_ptr(handle, &data) || shim().dtype(handle, &type)) return false;
  const DLDataType found = shim().dlpack(type);
  return data == address && found.code == dtype.code && found.bits == dtype.bits;
}

Read view_through_shim(PyObject* tensor, DLTensor& view, bool maybe_sparse) {
  const Layout& python = python_layout();
  if (python.offset < 0) return Read::kUnavailable;
  if (!PyObject_TypeCheck(tensor, python.tensor_type)) return Read::kFailed;
  const Shim& torch = shim();
  const Handle handle = reinterpret_cast<char*>(tensor) + python.offset;
  int64_t dim = 0;
  int32_t dtype = 0, layout = 0, device_type = 0, device_index = 0;
  if (maybe_sparse && (torch.layout(handle, &layout) || layout != torch.strided)) return Read::kFailed;
  if (torch.data_ptr(handle, &view.data) || torch.dim(handle, &dim) || torch.sizes(handle, &view.shape) ||
      torch.strides(handle, &view.strides) || torch.dtype(handle, &dtype) || torch.device_type(handle, &device_type) ||
      (device_type != torch.cpu && torch.device_index(handle, &device_index)))
    return Read::kFailed;
  view.ndim = static_cast<int32_t>(dim);
  view.dtype = torch.dlpack(dtype);
  view.device = {device_type == torch.cpu ? kDLCPU : kDLCUDA, device_type == torch.cpu ? 0 : device_index};
  view.byte_offset = 0;
  return Read::kDone;
}

}  // namespace fusedopt
