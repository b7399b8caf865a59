"""The compiled module ``fusedopt._C``, and why it is missing where it is."""

import functools
import importlib
from typing import Any

_C: Any = None
missing = None
try:
    _C = importlib.import_module("fusedopt._C")
except ImportError as error:
    missing = f"fusedopt was installed without compiled code ({error})"


@functools.cache
def rules():
    """Names of the rules that the C++ engines are compiled for."""
    return frozenset(_C.rules())


_KINDS = ("element", "sign", "row", "col", "matrix", "tensor")  # Kind in csrc/row.h


class NativeTable:
    """A bucket's tensors as ``_C.Table`` reads them; this object owns what the table borrows."""

    def __init__(self, bucket):
        self._entries = [_native_entry(entry) for entry in bucket.entries]
        self._rows = bucket.rows
        self._reads_steps = not bucket.capturable
        kinds = [_KINDS.index(kind) if kind in _KINDS else 0 for kind in bucket.rule.states.values()]
        counts_steps = bucket.counts_steps and not bucket.capturable
        self.native = _C.Table(self._entries, tuple(bucket.rule.states), kinds, bucket.rule.sees_matrices, counts_steps)
        if not self.refresh():
            raise RuntimeError("fusedopt: a tensor changed while the step was planned; do not touch them in hooks")

    def refresh(self):
        return self.native.refresh([row.steps for row in self._rows] if self._reads_steps else [])


def _native_entry(entry):
    grad, states, sides = None, None, entry.side_keys  # looked up anew in every step
    if entry.staged:
        grad, states, sides = entry.grad, entry.states, entry.sides
    matrix = entry.matrix.rows, entry.matrix.cols
    codecs = [codec.number if codec else -1 for codec in entry.codecs]
    return entry.param, grad, states, entry.record, entry.row, matrix, codecs, sides, entry.seed


class Roster:
    """Notices that an optimizer's groups, parameters, state records or set of gradients are not those planned with."""

    def __init__(self, optimizer, idle):
        self._owned = [list(group["params"]) for group in optimizer.param_groups], list(optimizer.state.items()), idle
        self._native = _C.Roster(optimizer.param_groups, optimizer.state, idle)

    def unchanged(self, optimizer):
        return self._native.unchanged(optimizer.param_groups, optimizer.state)
