"""Memory layouts: engines walk flat memory, so tensors that are not laid out alike are stepped through dense copies."""

from dataclasses import dataclass

import torch


def _strides(tensor):
    """Strides of the dimensions that matter: those longer than one."""
    return [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def is_regular(p, *others):
    """Whether ``p`` fills its memory without gaps or overlaps and the others are laid out exactly as ``p`` is."""
    if p.numel() < 2:
        return True
    dense = torch.empty_like(p, device="meta")  # keeps the strides of p only when p is dense
    return all(_strides(t) == _strides(dense) for t in (p, *others))


@dataclass
class Staged:
    """Dense stand-ins for one parameter's tensors; ``write_back`` returns their values after the step."""

    originals: list[torch.Tensor]
    copies: list[torch.Tensor]

    @classmethod
    def of(cls, *tensors):
        dense = torch.empty_like(tensors[0])
        return cls(list(tensors), [torch.empty_like(dense, dtype=t.dtype).copy_(t) for t in tensors])

    def write_back(self):
        for original, copy in zip(self.originals, self.copies, strict=True):
            original.copy_(copy)
