"""The reference engine: plain torch, one tensor at a time; the truth that fast engines are tested against."""

import torch

from .. import bits, modifiers
from ..scalars import HEADER
from .engine import Engine


class Eager(Engine):
    sweeps_codecs = True

    @staticmethod
    def unavailable(device):
        return None

    def refresh(self):
        return False  # planned anew every step: the reference trusts no cache

    def sum_squares(self):
        squares = [entry.grad.double().square().sum() for entry in self.bucket.entries]
        return torch.stack(squares).sum()

    def run(self, table, coefficient):
        dtype, rule = self.bucket.dtype, self.bucket.rule
        names = (*HEADER, *rule.scalars)
        for entry in self.bucket.entries:
            row = table[entry.row].to(self.bucket.device, dtype)
            scalars = dict(zip(names, row, strict=True))
            if coefficient is not None:
                scalars["gradient_sign"] = scalars["gradient_sign"] * coefficient.to(row)
            if entry.param.numel() > 0:
                _step(rule, scalars, entry, dtype, int(table[entry.row, HEADER.index("step")]))


def _step(rule, scalars, entry, dtype, t):
    """Reads a parameter's tensors as the rule sees them, and writes what the update returns."""
    kinds = ("element", *rule.states.values())
    tensors = (entry.param, *entry.states)
    stored = [entry.stored(i, t) for i in range(len(tensors))]
    streams = list(zip(kinds, tensors, stored, strict=True))
    values = [_read(entry.matrix, kind, s.read() if s else tensor, dtype) for kind, tensor, s in streams]
    results = update(rule, scalars, _read(entry.matrix, "element", entry.grad, dtype), *values)
    for (kind, tensor, s), value in zip(streams, results, strict=True):
        if kind == "sign":
            tensor.copy_(bits.pack(value > 0))
        else:
            (s.write if s else tensor.copy_)(value.reshape(tensor.shape))


def _read(matrix, kind, tensor, dtype):
    if kind == "sign":
        return torch.where(bits.unpack(tensor, matrix.cols), 1, -1).to(dtype).unsqueeze(0)
    return matrix.view(kind, tensor.to(dtype))


def update(rule, scalars, g, p, *states):
    """The whole step on one tensor: returns the new parameter and states."""
    g = scalars["gradient_sign"] * g
    if scalars["l2"] != 0:
        g = modifiers.l2(g, p, scalars["l2"])
    u, *states = rule.update(g, p, *states, *(scalars[name] for name in rule.scalars))
    if scalars["cautious"] != 0:
        u = modifiers.cautious(u, g)
    step = scalars["lr"] * u
    if scalars["decay"] != 0:
        step = modifiers.decoupled(step, p, scalars["decay"])
    return p - step, *states
