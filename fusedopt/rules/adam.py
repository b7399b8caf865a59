"""Adam, AdamW and AMSGrad.

Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1; Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2;
Reddi et al. 2018, https://openreview.net/forum?id=ryQu7f-RZ, Algorithm 2.
"""

from typing import Unpack

from ..denominators import momentum, over
from ..math import maximum, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative


def adam(g, p, m, v, beta1, rate1, beta2, rate2, debias1, root_debias2, eps, *, divide=over, lead=momentum):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    return divide(debias1 * lead(m, g, beta1, rate1), root_debias2 * sqrt(v), eps), m, v


def amsgrad(g, p, m, v, v_max, beta1, rate1, beta2, rate2, debias1, root_debias2, eps, *, divide=over, lead=momentum):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    v_max = maximum(v_max, v)
    return divide(debias1 * lead(m, g, beta1, rate1), root_debias2 * sqrt(v_max), eps), m, v, v_max


ADAM = Rule(adam, states={"exp_avg": "signed", "exp_avg_sq": "positive"})
AMSGRAD = Rule(amsgrad, states={"exp_avg": "signed", "exp_avg_sq": "positive", "max_exp_avg_sq": "bound"})


class Adam(Optimizer):
    """Adam; a drop-in for :class:`torch.optim.Adam`.

    ``eps`` is added outside the bias-corrected root. ``weight_decay`` is added to the gradient unless
    ``decoupled_weight_decay`` is set. ``amsgrad`` keeps the running maximum of the second moment before its bias
    correction, as torch does. Keyword-only building blocks: :class:`fusedopt.optimizer.Options`.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        amsgrad=False,
        **options: Unpack[Options],
    ):
        check_non_negative(eps, "epsilon value")
        check_betas(betas, options.get("foreach"), options.get("capturable", False))
        super().__init__(
            params,
            options,
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
        )

    def rule(self, group, p):
        return AMSGRAD if group["amsgrad"] else ADAM

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        return {
            **averaging(group["betas"]),
            "debias1": 1 / (1 - beta1**t),
            "root_debias2": (1 - beta2**t) ** -0.5,
            "eps": group["eps"],
        }


class AdamW(Adam):
    """Adam with decoupled weight decay; a drop-in for :class:`torch.optim.AdamW`."""

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        **options: Unpack[Options],
    ):
        if not options.setdefault("decoupled_weight_decay", True):
            raise ValueError("AdamW decouples its decay; use Adam for decoupled_weight_decay=False")
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # also for a checkpoint of Adam, as torch does
