"""What a step did to each parameter, measured by the step itself."""

from typing import NamedTuple

import torch


class Telemetry(NamedTuple):
    """``optimizer.telemetry[p]`` after a step with ``telemetry=True``.

    ``grad_norm`` and ``update_norm`` are L2 norms: of the gradient as it came (not yet clipped), and of what the step
    added to the parameter before it was rounded to its dtype, decay included. ``nonfinite`` counts elements of the
    gradient. ``flushed`` counts non-zero values of parameter and states that storage made zero or raised by more than
    half, ``saturated`` those that it made infinite or less than half. GPU engines measure with additional reads
    after rounding and do not count codes: NaN.
    """

    grad_norm: float
    update_norm: float
    saturated: float
    flushed: float
    nonfinite: float

    @classmethod
    def of(cls, squares):
        """Of the five numbers of an engine, norms squared."""
        gradient, update, *counts = squares
        return cls(gradient**0.5, update**0.5, *counts)


def square(x):
    """Sum of squares, a 0-dim float64 tensor."""
    return x.double().square().sum()


def nonfinite(x):
    return (~x.isfinite()).sum()


def misfits(values, kept):
    """How many ``values`` storage could not tell from larger and from smaller ones: (saturated, flushed)."""
    size, kept = values.abs(), kept.abs()
    flushed = (size > 0) & ((kept == 0) | ((kept > 1.5 * size) & kept.isfinite()))
    saturated = (kept != 0) & ((kept < 0.5 * size) | ~kept.isfinite())
    finite = values.isfinite()
    return (saturated & finite).sum(), (flushed & finite).sum()


def row(*numbers):
    return torch.stack([torch.as_tensor(x, dtype=torch.float64).cpu() for x in numbers])
