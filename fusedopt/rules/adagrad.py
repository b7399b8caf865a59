"""Adagrad. Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html, Figure 1 with diagonal matrices."""

from typing import Unpack

from ..denominators import over
from ..math import sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..validation import check_non_negative


def adagrad(g, p, total, eps, *, divide=over):
    total = total + g * g
    return divide(g, sqrt(total), eps), total


ADAGRAD = Rule(adagrad, states={"sum": "positive"})


class Adagrad(Optimizer):
    """Adagrad; a drop-in for :class:`torch.optim.Adagrad`, sparse gradients included.

    ``eps`` is added outside the root. ``lr_decay`` divides the learning rate by ``1 + lr_decay * (t - 1)``. State is
    made at a parameter's first step, not at construction as torch's is.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  torch's order has a flag
    ):
        check_non_negative(lr_decay, "lr_decay value")
        check_non_negative(initial_accumulator_value, "initial_accumulator_value value")
        check_non_negative(eps, "epsilon value")
        super().__init__(
            params,
            {**options, "foreach": foreach},
            lr=lr,
            lr_decay=lr_decay,
            eps=eps,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
        )

    def rule(self, group, p):
        return ADAGRAD

    def initial(self, group):
        value = group["initial_accumulator_value"]
        return {"sum": value, "sum_row": value, "sum_col": 1.0}  # a constant is a rank-1 matrix

    def scalars(self, group, t):
        return {"lr": group["lr"] / (1 + (t - 1) * group["lr_decay"]), "eps": group["eps"]}
