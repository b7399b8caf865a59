// The tensors of one bucket: read anew every step through DLPack, checked, and laid out as rows for the engines.
#pragma once
#include <pybind11/pybind11.h>

#include <vector>

#include "row.h"
#include "tensor.h"

namespace fusedopt {

// Tensors and records are borrowed: the Python engine that made the table keeps them alive, so that Python's garbage
// collector can see every reference cycle through them.
class Table {
 public:
  // entries: tuples (param, grad or None for param.grad, states or None to look up keys in record, record, scalar row,
  // (rows, columns) of its matrices, codecs of parameter and states or -1 to go by their dtype, their tensors on the
  // side as keys of the record, tensors or None, seed). kinds: what each state is, as Kind counts them.
  Table(const pybind11::list& entries, const pybind11::tuple& keys, const std::vector<int>& kinds, bool sees_matrices,
        bool counts_steps);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // Reads all tensors; false when anything differs from the plan. steps[r]: expected count of scalar row r, or empty
  // when counts live on the GPU.
  bool refresh(const std::vector<double>& steps);
  // Adds one to every step count.
  void advance();

  const std::vector<Row>& rows() const { return rows_; }
  const std::vector<Chunk>& chunks() const { return chunks_; }
  // Chunks [tasks[i], tasks[i + 1]) make one unit of parallel work.
  const std::vector<int64_t>& tasks() const { return tasks_; }

 private:
  struct Entry {
    PyObject *param, *grad, *states, *record;
    int64_t rows, cols;
    std::vector<int> codecs;  // of parameter and states; negative for those that go by their dtype
    PyObject* sides;
    uint64_t layout = 0;  // of the parameter
    void* step = nullptr;
    bool step_is_double = false;
  };
  // Where a tensor lay in the last step: its Python object, and its sizes, which are inside torch's object. Small
  // tensors are scattered over memory, and reading many is bound by its latency; these are fetched ahead, never
  // followed.
  struct Footprint {
    const void* object = nullptr;
    const char* shape = nullptr;
    const void* address = nullptr;
    DLDataType dtype = {};
  };
  // Gradient, parameter, states, step count, and what stands beside parameter and states.
  size_t tensors_per_entry() const { return 2 * keys_.size() + kFirstState; }
  void prefetch(size_t entry) const;
  bool view(PyObject* tensor, DLTensor& view, bool maybe_sparse = false);
  // Whether a state or step count is the object that it was, with memory and dtype as they were: then its layout is
  // too.
  bool is_as_before(PyObject* tensor);
  // Whether a tensor is what a state of this kind must be; gives its dtype.
  static bool is_state(const DLTensor& state, Kind kind, const DLTensor& p, const Row& row, Codec& codec);
  bool read(Entry& entry, Row& row, const std::vector<double>& steps);
  bool read_state(const Entry& entry, size_t state, const DLTensor& p, bool laid_out_as_before, const Row& before,
                  Row& row);
  bool read_side(const Entry& entry, int stream, const DLTensor& p, Row& row);
  bool read_step(Entry& entry, double expected);
  static double count_of(const Entry& entry);
  void split();

  std::vector<Entry> entries_;
  std::vector<PyObject*> keys_;
  std::vector<Kind> kinds_;
  std::vector<Row> rows_;
  std::vector<Footprint> footprints_;
  size_t seen_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<int64_t> tasks_;
  bool sees_matrices_, counts_steps_, planned_ = false;
};

// Whether an optimizer still has the parameters, groups and state records that it was planned with, and whether the
// parameters that had no gradient still have none. Borrows like Table.
class Roster {
 public:
  Roster(const pybind11::list& groups, const pybind11::dict& state, const pybind11::list& idle);
  bool unchanged(const pybind11::list& groups, const pybind11::dict& state) const;

 private:
  std::vector<PyObject*> pointers_, idle_;
};

}  // namespace fusedopt
