// A torch tensor as DLPack describes it: no torch header, so that one binary serves all torch versions from 2.10.
#pragma once
#include <Python.h>
#include <dlpack.h>

#include "row.h"

namespace fusedopt {

// Fills `view` without taking ownership, from libtorch's C shim or DLPack's exchange API; false, with Python's error
// cleared, for what they cannot express. `maybe_sparse`: ask for the layout first, as libtorch prints a complaint when
// a sparse tensor is asked for its address.
bool view_tensor(PyObject* tensor, DLTensor& view, bool maybe_sparse = false);

bool is_supported(const DLDataType& dtype, Codec& out);
int64_t count(const DLTensor& view);
bool is_contiguous(const DLTensor& view);
// Whether the tensor fills its memory without gaps or overlaps, in any order of its dimensions.
bool is_dense(const DLTensor& view);
// A number that tells layouts apart: of device, shape and strides.
uint64_t layout_hash(const DLTensor& view);
// Equal shapes, and equal strides wherever a dimension is longer than one.
bool same_layout(const DLTensor& a, const DLTensor& b);

inline char* data(const DLTensor& view) { return static_cast<char*>(view.data) + view.byte_offset; }

}  // namespace fusedopt
