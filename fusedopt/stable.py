"""Stable decay: weight decay over the root of the second moment's mean, over all parameters of an optimizer."""

import torch

from .scalars import HEADER
from .totals import total

NEEDED = ("beta2", "rate2", "root_debias2")  # scalars of rules whose second moment is Adam's
STATES = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}


def has_moment(rule):
    """Whether a rule divides by an average of squared gradients, or by the maximum of such averages."""
    return rule.states.get("exp_avg_sq") == "positive" and rule.states.keys() <= STATES and {*NEEDED} <= {*rule.scalars}


def stability(groups, engines, tables, coefficient):
    """One over the root of the mean of all new second moments, a 0-dim float64 tensor; zero where that is zero.

    All are those of ``groups`` with this decay, also of such as have no ``weight_decay``.

    Xie et al. 2023, arXiv:2011.11152, Algorithm 3; with AMSGrad, of their maxima. It costs a reading of gradients and
    second moments.
    """
    sums, count = [], 0
    for engine, table in zip(engines, tables, strict=True):
        rule, rows = engine.bucket.rule, engine.bucket.rows
        for entry in engine.bucket.entries:
            if groups[rows[entry.row].group]["decay"] != "stable":
                continue
            columns = [len(HEADER) + rule.scalars.index(name) for name in NEEDED]
            beta2, rate2, root_debias2 = table[entry.row, columns]
            states = {key: entry.value(i) for i, key in enumerate(rule.states, 1) if key in STATES}
            g = entry.grad.double() if coefficient is None else entry.grad.double() * coefficient.to(entry.grad.device)
            v = beta2.to(g) * states["exp_avg_sq"].double() + rate2.to(g) * g.square()
            v = torch.maximum(v, states["max_exp_avg_sq"]) if "max_exp_avg_sq" in states else v
            sums.append(total(v) * root_debias2.to(g) ** 2)
            count += entry.param.numel()
    mean = torch.stack([x.to(sums[0].device) for x in sums]).sum() / max(count, 1)
    return torch.where(mean > 0, mean.rsqrt(), 0.0)
