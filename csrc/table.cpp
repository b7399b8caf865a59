#include "table.h"

#include <pybind11/stl.h>

#include <algorithm>

#include "shim.h"
#include "tensor.h"

namespace py = pybind11;

namespace fusedopt {
namespace {

constexpr int64_t kChunk = 32768;  // elements: long enough to hide scheduling, short enough to balance two cores

constexpr size_t kAhead = 4;  // entries: the objects of one take about as long to arrive as to read

PyObject* grad_name() {
  static PyObject* name = PyUnicode_InternFromString("grad");
  return name;
}

// DLPack does not carry torch's lazy negation; autograd leaves it on gradients of one element only, others it copies.
bool is_negated(PyObject* tensor) {
  py::object answer = py::reinterpret_steal<py::object>(PyObject_CallMethod(tensor, "is_neg", nullptr));
  return !answer || answer.is(py::bool_(true));
}

// Statistics have the dtype that their parameter is computed in.
bool is_arithmetic(const DLDataType& found, const Row& row, Codec& dtype) {
  return is_supported(found, dtype) && dtype == (row.codec(kParam) == kFloat64 ? kFloat64 : kFloat32);
}

PyObject* or_null(py::handle object) { return object.is_none() ? nullptr : object.ptr(); }

// How the tensors of a codec are stored: the one that has the parameter's shape, and the one on the side.
struct Storage {
  DLDataType main, side;
};
Storage storage(Codec codec) {
  constexpr DLDataType fp32{kDLFloat, 32, 1}, fp16{kDLFloat, 16, 1}, bf16{kDLBfloat, 16, 1},
      none{kDLOpaqueHandle, 0, 0};
  constexpr DLDataType int8{kDLInt, 8, 1}, int16{kDLInt, 16, 1}, uint8{kDLUInt, 8, 1};
  switch (codec) {
    case kSigned8:
    case kSigned8Stochastic: return {int8, fp32};
    case kPositive8:
    case kPositive8Stochastic:
    case kDynamicSigned:
    case kDynamicPositive: return {uint8, fp32};
    case kBFloat16Stochastic: return {bf16, none};
    case kFloat16Stochastic: return {fp16, none};
    case kBFloat16Kahan: return {bf16, bf16};
    case kFloat16Kahan: return {fp16, fp16};
    case kSplit24: return {bf16, int8};
    case kSplit32: return {bf16, int16};
    default: return {none, none};
  }
}
bool same(const DLDataType& a, const DLDataType& b) { return a.code == b.code && a.bits == b.bits; }
bool has_side(Codec codec) { return storage(codec).side.bits != 0; }

}  // namespace

Table::Table(const py::list& entries, const py::tuple& keys, const std::vector<int>& kinds, bool sees_matrices,
             bool counts_steps)
    : sees_matrices_(sees_matrices), counts_steps_(counts_steps) {
  for (int kind : kinds) kinds_.push_back(static_cast<Kind>(kind));
  for (py::handle key : keys) keys_.push_back(key.inc_ref().ptr());
  keys_.push_back(PyUnicode_InternFromString("step"));
  for (py::handle item : entries) {
    auto entry = py::reinterpret_borrow<py::tuple>(item);
    const auto [rows, cols] = entry[5].cast<std::pair<int64_t, int64_t>>();
    entries_.push_back({entry[0].ptr(), or_null(entry[1]), or_null(entry[2]), entry[3].ptr(), rows, cols,
                        entry[6].cast<std::vector<int>>(), entry[7].ptr()});
    rows_.push_back({});
    rows_.back().scalars = entry[4].cast<int32_t>();
    rows_.back().seed = entry[8].cast<uint32_t>();
  }
  footprints_.resize(entries_.size() * tensors_per_entry());
}

Table::~Table() {
  for (PyObject* key : keys_) Py_DECREF(key);
}

bool Table::refresh(const std::vector<double>& steps) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    prefetch(i + kAhead);
    seen_ = i * tensors_per_entry();
    if (!read(entries_[i], rows_[i], steps)) return false;
  }
  if (!planned_) split();
  planned_ = true;
  return true;
}

void Table::prefetch(size_t i) const {
  const size_t begin = i * tensors_per_entry(), end = begin + tensors_per_entry();
  for (size_t n = begin; n < end && end <= footprints_.size(); ++n) {
    __builtin_prefetch(footprints_[n].object);
    for (int line = -1; line <= 2; ++line) __builtin_prefetch(footprints_[n].shape + 64 * line);
  }
}

bool Table::view(PyObject* tensor, DLTensor& view, bool maybe_sparse) {
  if (!view_tensor(tensor, view, maybe_sparse)) return false;
  footprints_[seen_++] = {tensor, reinterpret_cast<const char*>(view.shape), data(view), view.dtype};
  return true;
}

bool Table::is_as_before(PyObject* tensor) {
  const Footprint& last = footprints_[seen_];
  if (last.object != tensor || !is_at(tensor, last.address, last.dtype)) return false;
  ++seen_;
  return true;
}

bool Table::is_state(const DLTensor& state, Kind kind, const DLTensor& p, const Row& row, Codec& codec) {
  if (kind == kElement) return is_supported(state.dtype, codec) && same_layout(p, state);
  if (!is_contiguous(state) || state.device.device_type != p.device.device_type ||
      state.device.device_id != p.device.device_id)
    return false;
  const int64_t matrices = row.numel / std::max<int64_t>(1, row.rows * row.cols);
  const int64_t counts[] = {
      row.numel, matrices * row.rows * ((row.cols + 7) / 8), matrices * row.rows, matrices * row.cols, matrices,
      1};  // as Kind counts
  if (row.numel > 0 && count(state) != counts[kind]) return false;
  if (kind != kSign) return is_arithmetic(state.dtype, row, codec);
  codec = kBits;
  return state.dtype.code == kDLUInt && state.dtype.bits == 8;
}

bool Table::read(Entry& entry, Row& row, const std::vector<double>& steps) {
  DLTensor p, other;
  Codec codec;
  if (!view(entry.param, p) || !is_supported(p.dtype, codec) || !is_dense(p)) return false;
  const uint64_t layout = layout_hash(p);
  const bool laid_out_as_before = planned_ && layout == entry.layout;
  if (sees_matrices_ && (!is_contiguous(p) || (planned_ && !laid_out_as_before))) return false;
  entry.layout = layout;
  Row now = row;
  now.numel = count(p);
  now.rows = sees_matrices_ ? entry.rows : 1;
  now.cols = sees_matrices_ ? entry.cols : now.numel;
  now.codecs = 0;
  if (entry.codecs[0] >= 0 && !same(p.dtype, storage(static_cast<Codec>(entry.codecs[0])).main)) return false;
  now.add_codec(kParam, entry.codecs[0] < 0 ? codec : static_cast<Codec>(entry.codecs[0]));
  auto object = py::reinterpret_steal<py::object>(entry.grad ? py::handle(entry.grad).inc_ref().ptr()
                                                             : PyObject_GetAttr(entry.param, grad_name()));
  if (!object || object.is_none() || !view(object.ptr(), other, true)) return PyErr_Clear(), false;
  if (!is_supported(other.dtype, codec) || !same_layout(p, other)) return false;
  if (now.numel == 1 && is_negated(object.ptr())) return PyErr_Clear(), false;
  now.add_codec(kGrad, codec);
  now.stream[kGrad] = data(other);
  now.stream[kParam] = data(p);
  if (!read_side(entry, kParam, p, now)) return PyErr_Clear(), false;
  for (size_t s = 0; s < kinds_.size(); ++s)
    if (!read_state(entry, s, p, laid_out_as_before, row, now)) return PyErr_Clear(), false;
  if (planned_ && (row.numel != now.numel || row.codecs != now.codecs)) return false;
  row = now;
  return !counts_steps_ || steps.empty() || read_step(entry, steps[row.scalars]);
}

bool Table::read_state(const Entry& entry, size_t s, const DLTensor& p, bool laid_out_as_before, const Row& before,
                       Row& row) {
  const int stream = kFirstState + static_cast<int>(s), planned = entry.codecs[1 + s];
  PyObject* state = entry.states ? PyList_GetItem(entry.states, s) : PyDict_GetItemWithError(entry.record, keys_[s]);
  DLTensor other;
  Codec codec;
  if (state && laid_out_as_before && is_as_before(state)) {
    codec = before.codec(stream);
  } else {
    if (!state || !view(state, other)) return false;
    if (planned < 0 && !is_state(other, kinds_[s], p, row, codec)) return false;
    if (planned >= 0) {
      codec = static_cast<Codec>(planned);
      if (!same(other.dtype, storage(codec).main) || !same_layout(p, other)) return false;
    }
    row.stream[stream] = data(other);
  }
  row.add_codec(stream, codec);
  return read_side(entry, stream, p, row);
}

bool Table::read_side(const Entry& entry, int stream, const DLTensor& p, Row& row) {
  const Codec codec = row.codec(stream);
  if (!has_side(codec)) return true;
  PyObject* side = PyList_GetItem(entry.sides, stream - kParam);
  if (side && PyUnicode_Check(side)) side = PyDict_GetItemWithError(entry.record, side);
  DLTensor other;
  if (!side || !view(side, other) || !same(other.dtype, storage(codec).side)) return false;
  if (other.device.device_type != p.device.device_type || other.device.device_id != p.device.device_id) return false;
  if (is_scaled(codec)) {
    const int64_t matrices = row.numel / std::max<int64_t>(1, row.rows * row.cols);
    const int64_t blocks = matrices * row.rows * ((row.cols + kBlock8 - 1) / kBlock8);
    if (!is_contiguous(other) || count(other) != blocks) return false;
  } else if (!same_layout(p, other)) {
    return false;
  }
  row.side[stream] = data(other);
  return true;
}

bool Table::read_step(Entry& entry, double expected) {
  PyObject* step = PyDict_GetItemWithError(entry.record, keys_.back());
  DLTensor view;
  Codec dtype;
  if (step && planned_ && is_as_before(step)) return count_of(entry) == expected;
  if (!step || !this->view(step, view) || view.device.device_type != kDLCPU || count(view) != 1) return false;
  if (!is_supported(view.dtype, dtype) || (dtype != kFloat32 && dtype != kFloat64)) return false;
  entry.step = data(view);
  entry.step_is_double = dtype == kFloat64;
  return count_of(entry) == expected;
}

double Table::count_of(const Entry& entry) {
  return entry.step_is_double ? *static_cast<const double*>(entry.step) : *static_cast<const float*>(entry.step);
}

void Table::advance() {
  if (!counts_steps_) return;
  for (Entry& entry : entries_) {
    if (entry.step_is_double)
      *static_cast<double*>(entry.step) += 1;
    else
      *static_cast<float*>(entry.step) += 1;
  }
}

void Table::split() {
  int64_t elements = kChunk;
  for (size_t r = 0; r < rows_.size(); ++r) {
    for (int64_t begin = 0; begin < rows_[r].numel; begin += kChunk) {
      const int64_t end = std::min(begin + kChunk, rows_[r].numel);
      if (elements + end - begin > kChunk) {
        tasks_.push_back(static_cast<int64_t>(chunks_.size()));
        elements = 0;
      }
      elements += end - begin;
      chunks_.push_back({static_cast<int32_t>(r), begin, end});
    }
  }
  tasks_.push_back(static_cast<int64_t>(chunks_.size()));
}

namespace {

// Calls visit with every group, parameter, and entry of the state, until it returns false; tells whether it never did.
template <class Visit>
bool visit_all(const py::list& groups, const py::dict& state, Visit visit) {
  static PyObject* params = PyUnicode_InternFromString("params");
  for (py::handle group : groups) {
    if (!visit(group.ptr())) return false;
    for (py::handle p : py::reinterpret_borrow<py::object>(PyDict_GetItemWithError(group.ptr(), params)))
      if (!visit(p.ptr())) return false;
  }
  PyObject *key, *value;
  for (Py_ssize_t at = 0; PyDict_Next(state.ptr(), &at, &key, &value);)
    if (!visit(key) || !visit(value)) return false;
  return true;
}

}  // namespace

Roster::Roster(const py::list& groups, const py::dict& state, const py::list& idle) {
  visit_all(groups, state, [&](PyObject* object) { return pointers_.push_back(object), true; });
  for (py::handle p : idle) idle_.push_back(p.ptr());
}

bool Roster::unchanged(const py::list& groups, const py::dict& state) const {
  size_t n = 0;
  const auto known = [&](PyObject* object) { return n < pointers_.size() && pointers_[n++] == object; };
  if (!visit_all(groups, state, known) || n != pointers_.size()) return false;
  return std::all_of(idle_.begin(), idle_.end(), [](PyObject* p) {
    auto grad = py::reinterpret_steal<py::object>(PyObject_GetAttr(p, grad_name()));
    return grad && grad.is_none();
  });
}

}  // namespace fusedopt
