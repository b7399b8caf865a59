"""Memory layouts: engines walk flat memory, so tensors that are not laid out alike are stepped through dense copies."""

from dataclasses import dataclass

import torch


def _strides(tensor):
    """Strides of the dimensions that matter: those longer than one."""
    return [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def is_regular(p, *others):
    """Whether ``p`` fills its memory without gaps or overlaps and the others are laid out exactly as ``p`` is."""
    if any(t.is_neg() for t in others):
        return False  # the memory holds the negated values
    if p.numel() < 2:
        return True
    if p.is_contiguous() and all(t.stride() == p.stride() for t in others):
        return True
    dense = torch.empty_like(p, device="meta")  # keeps the strides of p only when p is dense
    return all(_strides(t) == _strides(dense) for t in (p, *others))


@dataclass
class Staged:
    """Dense stand-ins for one parameter's tensors; ``write_back`` returns their values after the step."""

    originals: list[torch.Tensor]  # the parameter and its states
    param: torch.Tensor
    grad: torch.Tensor
    states: list[torch.Tensor]

    @classmethod
    def of(cls, p, grad, states):
        dense = torch.empty_like(p)
        param, grad, *copies = (torch.empty_like(dense, dtype=t.dtype).copy_(t) for t in (p, grad, *states))
        return cls([p, *states], param, grad, copies)

    def write_back(self):
        for original, copy in zip(self.originals, (self.param, *self.states), strict=True):
            original.copy_(copy)
