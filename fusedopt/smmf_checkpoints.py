"""State records of SMMF in the form of its authors' code: sums instead of means, one bool a sign, steps from 1.

Theirs is ``momentum_m``: (r, c), ``sign``: bool (rows, cols), ``momentum_v``: (r, c), the longer of each pair summing
to the total and the other to one; ``effective_shape``; ``step``, the number of the step to come.
"""

from typing import Any

import torch

from . import bits
from .matrix import square

MOMENTS = {"momentum_m": "exp_avg", "momentum_v": "exp_avg_sq"}


def from_authors(record, p, factored):
    """Our record for parameter ``p``; ``factored`` tells whether we keep factors, or the matrix they stand for."""
    ours = {"step": torch.tensor(float(record["step"]) - 1)}
    for theirs, name in MOMENTS.items():
        value, sign = record.get(theirs), record.get("sign") if theirs == "momentum_m" else None
        if isinstance(value, torch.Tensor):
            ours[name] = value
        elif value is not None:
            row, col = value
            ours |= _factors(name, row, col, sign) if factored else {name: _dense(row, col, sign).reshape(p.shape)}
    return ours


def _factors(name, row, col, sign):
    total = col.sum()  # one, as rows >= cols; but sums of another origin are as good
    scale = len(col) / torch.where(total > 0, total, 1)
    factors = {f"{name}_row": row * total / len(col), f"{name}_col": col * scale}
    return factors if sign is None else {**factors, f"{name}_sign": bits.pack(sign)}


def _dense(row, col, sign):
    size = torch.outer(row, col)
    return size if sign is None else torch.where(sign, size, -size)


def to_authors(record, p, reshaped):
    """The authors' record; ``reshaped`` tells whether they would factor ``p``."""
    theirs: dict[str, Any] = {"step": float(record["step"]) + 1}
    shape = square(p)
    for name, ours in MOMENTS.items():
        if f"{ours}_row" in record:
            theirs[name] = record[f"{ours}_row"] * shape.cols, record[f"{ours}_col"] / shape.cols
            if name == "momentum_m":
                theirs["sign"] = bits.unpack(record[f"{ours}_sign"], shape.cols)
        elif ours in record:
            theirs |= _compressed(name, record[ours], shape) if reshaped else {name: record[ours]}
    return {**theirs, "effective_shape": (shape.rows, shape.cols)} if reshaped else theirs


def _compressed(name, dense, shape):
    size = dense.reshape(shape.rows, shape.cols)
    sign = {"sign": size > 0} if name == "momentum_m" else {}
    size = size.abs()
    col = size.sum(0)
    return {name: (size.sum(1), col / torch.where(col.sum() > 0, col.sum(), 1)), **sign}
