// Reads a torch tensor through libtorch's stable C shim, without a torch header; cheaper than DLPack, see bench/LOG.md.
#pragma once
#include <Python.h>
#include <dlpack.h>

namespace fusedopt {

enum class Read { kDone, kFailed, kUnavailable };

// Fills `view` as DLPack would. kUnavailable: this torch does not offer what is needed; ask DLPack.
Read view_through_shim(PyObject* tensor, DLTensor& view, bool maybe_sparse);

// Whether a tensor that was viewed before still has this address and element type. False also where the shim is
// missing.
bool is_at(PyObject* tensor, const void* address, const DLDataType& dtype);

}  // namespace fusedopt
