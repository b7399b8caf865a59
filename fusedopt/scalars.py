"""The numbers of one step: a row of float64 scalars for every (group, step count), and the clipping coefficient."""

import math
from typing import Any

import torch

from . import settings
from .combinations import check_shared

# The engine's own scalars; a rule's follow in the order of its signature. csrc/rules/layout.h is written from this.
HEADER = ("lr", "decay", "l2", "gradient_sign", "cautious", "step")


PLAIN = {float, int, bool, str, type(None)}


def _number(value) -> Any:
    """Tensor hyper-parameters as floats."""
    if isinstance(value, torch.Tensor):
        return float(value)
    return tuple(map(_number, value)) if isinstance(value, tuple | list) else value


def numbers(optimizer, group):
    """The group's hyper-parameters, tensors among them as floats."""
    keys = (*optimizer.defaults, "first_lr") if "first_lr" in group else optimizer.defaults
    return {key: value if type(value := group[key]) in PLAIN else _number(value) for key in keys}


def averaging(betas):
    """The weights of old and new in running averages: beta1, rate1, beta2, and so on."""
    return {f"{key}{i}": x for i, beta in enumerate(betas, 1) for key, x in (("beta", beta), ("rate", 1 - beta))}


def smaller(a, b):
    """The minimum of numbers, or of tensors without waiting for the GPU."""
    if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
        return min(a, b)
    return torch.minimum(*(torch.as_tensor(x, dtype=torch.float64) for x in (a, b)))


def larger(a, b):
    return -smaller(-a, -b)


def expm1(x):
    return x.expm1() if isinstance(x, torch.Tensor) else math.expm1(x)


def sizes(rule, matrix, p):
    """What a rule asks for of a parameter's size."""
    all_sizes = {"numel": p.numel(), "root_numel": p.numel() ** 0.5, "root_cols": matrix.cols**0.5}
    return {name: float(size) for name, size in all_sizes.items() if name in rule.scalars}


def remember(group, key, value):
    """Keeps a number for the next step: in place where it is on the GPU, as a captured graph reads it there again."""
    old = group[key]
    if isinstance(old, torch.Tensor) and isinstance(value, torch.Tensor) and old.device == value.device:
        old.copy_(value)
    else:
        group[key] = value.detach().clone() if isinstance(value, torch.Tensor) else value


def scalar_row(optimizer, rule, row, t):
    """All scalars of a row at its ``t``-th step, as HEADER and ``rule.scalars`` name them.

    ``t`` is a number, or a 0-dim float64 tensor on the GPU for graph capture: then tensor hyper-parameters stay there.
    """
    group = optimizer.param_groups[row.group]
    if not isinstance(t, torch.Tensor):
        group = numbers(optimizer, group)
    values = {
        "lr": group["lr"],
        **settings.decay_scalars(group),
        "gradient_sign": -1.0 if group["maximize"] else 1.0,
        "cautious": float(group["cautious"] is True),
        "step": t,  # the key of random numbers
        **(settings.scalars(group, t) if rule.whole else {}),
        **optimizer.scalars(group, t),
        **row.constants,
    }
    header = {**values, "l2": 0.0} if rule.whole else values  # a whole rule adds its own
    return [*(header[name] for name in HEADER), *(values[name] for name in rule.scalars)]


def scalar_table(optimizer, bucket):
    """A (rows, scalars) float64 tensor: on the CPU, or on the bucket's device when the step is to be captured."""
    if not bucket.capturable:
        rows = [scalar_row(optimizer, bucket.rule, row, row.steps + 1) for row in bucket.rows]
        return torch.tensor(rows, dtype=torch.float64, device="cpu")
    steps = {entry.row: entry.record["step"] for entry in bucket.entries} if bucket.counts_steps else {}
    rows = []
    for r, row in enumerate(bucket.rows):
        t = steps[r].double() + 1 if steps else torch.full((), 2.0, dtype=torch.float64, device=bucket.device)
        rows.append(torch.stack([_on(x, bucket.device) for x in scalar_row(optimizer, bucket.rule, row, t)]))
    return torch.stack(rows)


def _on(value, device):
    if isinstance(value, torch.Tensor):
        return value.to(device, torch.float64).reshape(())
    return torch.full((), value, dtype=torch.float64, device=device)  # a fill, not a copy: allowed while capturing


def with_measured(table, bucket, measured):
    """``table`` with these numbers in all its rows: on their device, so that nothing waits for it."""
    known = {name: value for name, value in measured.items() if name in bucket.rule.scalars}
    table = table.to(bucket.device) if known else table
    for name, value in known.items():
        table[:, len(HEADER) + bucket.rule.scalars.index(name)] = value.to(bucket.device)
    return table


def gradient_coefficient(groups, engines, scale):
    """What every gradient is multiplied by, as a 0-dim float64 tensor: ``scale``, then clipped; None for one.

    The formula of :func:`torch.nn.utils.clip_grad_norm_`, over all gradients of the optimizer.
    """
    check_shared(groups)
    limit = groups[0]["max_grad_norm"]
    if not engines or (limit is None and scale == 1):
        return None
    if limit is None:
        return torch.tensor(scale, dtype=torch.float64)
    squares = [engine.sum_squares() for engine in engines]
    home = squares[0].device
    norm = torch.stack([square.to(home) for square in squares]).sum().sqrt() * scale
    return (limit / (norm + 1e-6)).clamp(max=1.0) * scale
