"""The reference engine: plain torch, one tensor at a time; the truth that fast engines are tested against."""

import torch

from .. import bits, codecs, modifiers
from ..scalars import HEADER
from .engine import Engine


class Eager(Engine):
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
    streams = [_Stream(entry, i, t) for i in range(1 + len(entry.states))]
    kinds = ("element", *rule.states.values())
    values = [stream.read(kind, dtype) for stream, kind in zip(streams, kinds, strict=True)]
    results = update(rule, scalars, entry.matrix.view("element", entry.grad.to(dtype)), *values)
    for stream, kind, value in zip(streams, kinds, results, strict=True):
        stream.write(kind, value)


class _Stream:
    """The parameter (0) or a state as it is stored, and its codec."""

    def __init__(self, entry, i, t):
        self.matrix, self.codec, self.side = entry.matrix, entry.codecs[i], entry.sides[i]
        self.tensor = (entry.param, *entry.states)[i]
        self.key = codecs.stream_key(t, entry.seed, i + 1)

    def read(self, kind, dtype):
        if kind == "sign":
            return torch.where(bits.unpack(self.tensor, self.matrix.cols), 1, -1).to(dtype).unsqueeze(0)
        tensor = self.tensor
        if self.codec:
            main, side, cols = self._flat()
            tensor = torch.empty_like(self.tensor, dtype=torch.float32)
            codecs.in_memory(tensor).copy_(self.codec.decode(main, side, cols))
        return self.matrix.view(kind, tensor.to(dtype))

    def write(self, kind, value):
        if kind == "sign":
            return self.tensor.copy_(bits.pack(value > 0))
        value = value.reshape(self.tensor.shape)
        if not self.codec:
            return self.tensor.copy_(value)
        dense = torch.empty_like(self.tensor, dtype=torch.float32).copy_(value)
        main, side, cols = self._flat()
        self.codec.encode(codecs.in_memory(dense), main, side, cols, self.key)

    def _flat(self):
        side = self.side if self.side is None or self.codec.scaled else codecs.in_memory(self.side)
        return codecs.in_memory(self.tensor), side, self.matrix.cols


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
