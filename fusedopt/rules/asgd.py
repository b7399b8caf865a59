"""ASGD. Polyak & Juditsky 1992, https://doi.org/10.1137/0330046; step sizes as Bottou's, as torch has them."""

from typing import ClassVar, Unpack

import torch

from ..combinations import OWN_STEP_SIZE
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import larger


def asgd(g, p, ax, eta, lambd, mu, keep):
    u = eta * (g + lambd * p)
    return u, keep * ax + mu * (p - u)


ASGD_RULE = Rule(asgd, states={"ax": "bound"})


def step_size(group, t):
    """torch's ``eta`` after ``t`` steps."""
    return group["lr"] / (1 + group["lambd"] * group["lr"] * t) ** group["alpha"]


def weight(group, t):
    """torch's ``mu`` after ``t`` steps: of the newest parameter in the average."""
    return 1 / larger(1.0, t - group["t0"])


class ASGD(Optimizer):
    """Stochastic gradient descent with an average ``ax`` of the parameters; a drop-in for :class:`torch.optim.ASGD`.

    ``lambd`` shrinks the parameter, ``alpha`` is the power of the step size's decay, and averaging begins after ``t0``
    steps. torch's states ``eta`` and ``mu`` follow from the step count, so they stand in state dicts only; a new ``lr``
    acts at once, not one step late. Blocks that change the parameter after it was averaged are refused.
    """

    contradicts: ClassVar = {
        **OWN_STEP_SIZE,
        **dict.fromkeys(
            ("cautious", "decay other than 'l2'", "lazy", "lookahead"),
            "it would average parameters that are not written",
        ),
    }

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        foreach=None,
        maximize=False,
        differentiable=False,
        capturable=False,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  torch's order has flags among them
    ):
        flags = dict(foreach=foreach, maximize=maximize, differentiable=differentiable, capturable=capturable)
        super().__init__(
            params, {**options, **flags}, lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay
        )

    def rule(self, group, p):
        return ASGD_RULE

    def scalars(self, group, t):
        mu = weight(group, t - 1)
        return {"lr": 1.0, "eta": step_size(group, t - 1), "lambd": group["lambd"], "mu": mu, "keep": 1 - mu}

    def translated(self, group, p, record):
        return {key: value for key, value in record.items() if key not in ("eta", "mu")}

    def exported(self, group, record):
        if "step" not in record:
            return record
        t, double = float(record["step"]), torch.float64
        numbers = {"eta": torch.tensor(step_size(group, t), dtype=double)}
        numbers["mu"] = torch.tensor(weight(group, t), dtype=double)
        return {"step": record["step"], **numbers, **record}
