"""The reference engine: plain torch, one tensor at a time; the truth that fast engines are tested against."""

import torch

from .. import bits, modifiers, telemetry
from ..scalars import HEADER
from .engine import Engine


class Eager(Engine):
    @staticmethod
    def unavailable(device):
        return None

    @staticmethod
    def reads(rule, codecs):
        return True

    def refresh(self):
        return False  # planned anew every step: the reference trusts no cache

    def sum_squares(self):
        squares = [entry.grad.double().square().sum() for entry in self.bucket.entries]
        return torch.stack(squares).sum()

    def run(self, table, coefficient):
        for _ in self._steps(table, coefficient):
            pass

    def observe(self, table, coefficient):
        return torch.stack([_seen(*step) for step in self._steps(table, coefficient)])

    def _steps(self, table, coefficient):
        """Steps one parameter after another; yields each, and what ``_step`` gives."""
        dtype, rule = self.bucket.dtype, self.bucket.rule
        for entry in self.bucket.entries:
            row = table[entry.row].to(self.bucket.device, dtype)
            scalars, own = dict(zip(HEADER, row[: len(HEADER)], strict=True)), row[len(HEADER) :]
            if coefficient is not None:
                scalars["gradient_sign"] = scalars["gradient_sign"] * coefficient.to(row)
            t = int(table[entry.row, HEADER.index("step")])
            moved, results = entry.param, (entry.param, *entry.states)
            if entry.param.numel() > 0:
                moved, results = _step(rule, scalars, own, entry, dtype, t)
            yield entry, t, moved, results


def _step(rule, scalars, own, entry, dtype, t):
    """Reads a parameter's tensors as the rule sees them, and writes what the update returns.

    Gives what was added to the parameter, and the values that were written.
    """
    kinds = ("element", *rule.states.values())
    tensors = (entry.param, *entry.states)
    stored = [entry.stored(i, t) for i in range(len(tensors))]
    streams = list(zip(kinds, tensors, stored, strict=True))
    values = [_read(entry.matrix, kind, s.read() if s else tensor, dtype) for kind, tensor, s in streams]
    results = update(rule, scalars, own, _read(entry.matrix, "element", entry.grad, dtype), *values)
    moved = results[0] - values[0]
    for (kind, tensor, s), value in zip(streams, results, strict=True):
        if kind == "sign":
            tensor.copy_(bits.pack(value > 0))
        else:
            (s.write if s else tensor.copy_)(value.reshape(tensor.shape))
    return moved, results


def _seen(entry, t, moved, results):
    """What a step did to one parameter, as :mod:`fusedopt.telemetry` counts it."""
    saturated = flushed = torch.zeros(())
    for i, (tensor, value) in enumerate(zip((entry.param, *entry.states), results, strict=True)):
        if tensor.shape == entry.param.shape and (tensor.dtype != value.dtype or entry.codecs[i]):
            stored = entry.stored(i, t)
            kept = stored.read() if stored else tensor
            more = telemetry.misfits(value.reshape(tensor.shape), kept.to(value.dtype))
            saturated, flushed = saturated + more[0], flushed + more[1]
    gradient = telemetry.square(entry.grad), telemetry.nonfinite(entry.grad)
    return telemetry.row(gradient[0], telemetry.square(moved), saturated, flushed, gradient[1])


def _read(matrix, kind, tensor, dtype):
    if kind == "sign":
        return torch.where(bits.unpack(tensor, matrix.cols), 1, -1).to(dtype).unsqueeze(0)
    return matrix.view(kind, tensor.to(dtype))


def update(rule, scalars, own, g, p, *states):
    """The whole step on one tensor, with the engine's scalars and the rule's own: the new parameter and states."""
    g = scalars["gradient_sign"] * g
    if scalars["l2"] != 0:
        g = modifiers.l2(g, p, scalars["l2"])
    u, *states = rule.update(g, p, *states, *own)
    if rule.whole:
        return u, *states
    if scalars["cautious"] != 0:
        u = modifiers.cautious(u, g)
    step = scalars["lr"] * u
    if scalars["decay"] != 0:
        step = modifiers.decoupled(step, p, scalars["decay"])
    return p - step, *states
