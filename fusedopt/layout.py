"""Memory layouts: engines walk flat memory, so tensors that are not laid out alike are stepped through dense copies."""

from dataclasses import dataclass, field
from typing import Any

import torch

from .codecs import Stored


def _strides(tensor):
    """Strides of the dimensions that matter: those longer than one."""
    return [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def is_regular(p, *others, row_major=False):
    """Whether ``p`` fills its memory without gaps or overlaps and the others are laid out exactly as ``p`` is.

    ``row_major`` allows no other order of the elements, for rules that tell rows and columns apart.
    """
    if any(t.is_neg() for t in others):
        return False  # the memory holds the negated values
    if p.numel() < 2:
        return True
    if p.is_contiguous() and all(t.stride() == p.stride() for t in others):
        return True
    if row_major and not p.is_contiguous():
        return False
    dense = torch.empty_like(p, device="meta")  # keeps the strides of p only when p is dense
    return all(_strides(t) == _strides(dense) for t in (p, *others))


@dataclass
class Staged:
    """Stand-ins for one parameter's tensors; ``write_back`` returns their values after the step."""

    originals: list[tuple[torch.Tensor, torch.Tensor]]  # what was copied, and its dense copy, perhaps of some rows
    param: torch.Tensor
    residual: torch.Tensor | None
    grad: torch.Tensor
    states: list[torch.Tensor]
    decoded: list[tuple[Stored, torch.Tensor]] = field(default_factory=list)  # what a codec keeps, and its values
    rows: Any = ...  # of the first dimension: those that were copied

    @classmethod
    def of(cls, p, grad, states, residual, row_major):
        """Dense copies of what has the shape of ``p``; statistics are dense and stay as they are."""
        order = torch.contiguous_format if row_major else torch.preserve_format
        dense = torch.empty_like(p, memory_format=order)
        originals = [p, residual, *states]
        copies = [_like(dense, t) for t in originals]
        pairs = [(t, copy) for t, copy in zip(originals, copies, strict=True) if copy is not t]
        return cls(pairs, copies[0], copies[1], _like(dense, grad), copies[2:])

    @classmethod
    def of_rows(cls, p, grad, states):
        """Copies of the rows for which a sparse gradient has values; those of the same row are added up."""
        grad = grad.coalesce()
        (rows,) = grad.indices()
        copies = [t[rows] for t in (p, *states)]
        return cls([*zip((p, *states), copies, strict=True)], copies[0], None, grad.values(), copies[1:], rows=rows)

    def decode(self, stored):
        """Puts plain values in place of the parameter and states that are in a codec; None for those that are not."""
        self.decoded = [(s, s.read()) for s in stored if s]
        values = iter(values for _, values in self.decoded)
        tensors = [next(values) if s else t for s, t in zip(stored, (self.param, *self.states), strict=True)]
        self.param, self.states = tensors[0], tensors[1:]

    def write_back(self):
        for stored, values in self.decoded:
            stored.write(values)
        for original, copy in self.originals:
            original[self.rows] = copy


def _like(dense, tensor) -> Any:
    if tensor is None or tensor.shape != dense.shape:
        return tensor
    return torch.empty_like(dense, dtype=tensor.dtype).copy_(tensor)
