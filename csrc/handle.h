// A standing reference to a state tensor, read through libtorch's stable C shim: a tenth of DLPack's cost per look.
// It shares the tensor's implementation, so `state.data = ...` is seen. Not for parameters or gradients: the extra
// reference would keep gradients alive and stop torch.utils.swap_tensors.
#pragma once
#include <Python.h>
#include <dlpack/dlpack.h>

namespace fusedopt {

class Handle {
 public:
  Handle() = default;
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : tensor_(other.tensor_), owner_(other.owner_) {
    other.tensor_ = other.owner_ = nullptr;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  // Views `tensor`, taking a new reference only when it is another object than last time.
  bool view(PyObject* tensor, DLTensor& view);

 private:
  bool acquire(PyObject* tensor);
  void reset();

  void* tensor_ = nullptr;  // AtenTensorHandle
  void* owner_ = nullptr;   // its Python object, which the reference keeps alive; only compared
};

}  // namespace fusedopt
