"""Memory layouts: engines walk flat memory, so tensors that are not laid out alike are stepped through dense copies."""

from dataclasses import dataclass

import torch


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
    """Dense stand-ins for one parameter's tensors; ``write_back`` returns their values after the step."""

    originals: list[torch.Tensor | None]  # the parameter, its residual and its states
    param: torch.Tensor
    residual: torch.Tensor | None
    grad: torch.Tensor
    states: list[torch.Tensor]

    @classmethod
    def of(cls, p, grad, states, residual, row_major):
        """Copies what has the shape of ``p``; statistics are dense and stay as they are."""
        order = torch.contiguous_format if row_major else torch.preserve_format
        dense = torch.empty_like(p, memory_format=order)
        param, residual_, grad, *copies = (_like(dense, t) for t in (p, residual, grad, *states))
        return cls([p, residual, *states], param, residual_, grad, copies)

    def write_back(self):
        for original, copy in zip(self.originals, (self.param, self.residual, *self.states), strict=True):
            if original is not None and copy is not original:
                original.copy_(copy)


def _like(dense, tensor):
    if tensor is None or tensor.shape != dense.shape:
        return tensor
    return torch.empty_like(dense, dtype=tensor.dtype).copy_(tensor)
