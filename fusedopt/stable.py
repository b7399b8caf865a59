"""Stable decay: weight decay over the root of the second moment's mean, over all parameters of an optimizer."""

import torch

from .scalars import HEADER
from .totals import total

NEEDED = ("beta2", "rate2", "root_debias2")  # scalars of rules whose second moment is Adam's


def has_moment(rule):
    """Whether a rule keeps an average of squared gradients, and divides by it rather than by a maximum."""
    return rule.states.get("exp_avg_sq") == "positive" and {*NEEDED} <= {*rule.scalars} and len(rule.states) == 2


def stability(groups, engines, tables, coefficient):
    """One over the root of the mean of all new second moments, a 0-dim float64 tensor; zero where that is zero.

    All are those of ``groups`` with this decay, also of such as have no ``weight_decay``.

    Xie et al. 2023, arXiv:2011.11152, Algorithm 3. The mean of beta2 * v + rate2 * g^2 is that of its terms, so sums of
    what is there before the step are enough; they cost a reading of gradients and second moments.
    """
    sums, count = [], 0
    for engine, table in zip(engines, tables, strict=True):
        rule, rows = engine.bucket.rule, engine.bucket.rows
        for entry in engine.bucket.entries:
            if groups[rows[entry.row].group]["decay"] != "stable":
                continue
            columns = [len(HEADER) + rule.scalars.index(name) for name in NEEDED]
            beta2, rate2, root_debias2 = table[entry.row, columns]
            squares = total(entry.grad.double().square())
            squares = squares if coefficient is None else squares * coefficient.to(squares).square()
            moments = total(entry.value(1 + [*rule.states].index("exp_avg_sq")))
            sums.append((beta2 * moments + rate2 * squares) * root_debias2**2)
            count += entry.param.numel()
    mean = torch.stack([x.to(sums[0].device) for x in sums]).sum() / max(count, 1)
    return torch.where(mean > 0, mean.rsqrt(), 0.0)
