"""Signs of a matrix in bits: eight columns a byte, lowest bit first, every row from a new byte."""

import torch

_WEIGHTS = torch.tensor([1 << i for i in range(8)], dtype=torch.uint8)


def pack(positive):
    """(..., rows, cols) bool to (rows, ceil(cols / 8)) uint8."""
    rows, cols = positive.shape[-2:]
    padded = torch.nn.functional.pad(positive.reshape(rows, cols), (0, -cols % 8))
    return (padded.view(rows, -1, 8) * _WEIGHTS.to(positive.device)).sum(-1, dtype=torch.uint8)


def unpack(packed, cols):
    """(rows, ceil(cols / 8)) uint8 to (rows, cols) bool."""
    bits = packed.unsqueeze(-1) & _WEIGHTS.to(packed.device)
    return bits.flatten(1)[:, :cols] > 0
