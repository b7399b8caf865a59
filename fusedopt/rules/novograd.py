"""NovoGrad. Ginsburg et al. 2019, arXiv:1905.11286, Algorithm 1; options as in the authors' code."""

from typing import Unpack

from ..math import maximum, mean, select, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative


def followed(v, norm, beta2, rate2):
    """The average of squared norms, which begins with the first that is not zero: LoRA's first gradients are."""
    return select(v > 0, beta2 * v + rate2 * norm, norm)


def novograd(g, p, m, v, beta1, rate1, beta2, rate2, debias1, eps, shrink, size):
    v = followed(v, size * mean(g * g), beta2, rate2)
    m = beta1 * m + rate1 * (g / (sqrt(v) + eps) + shrink * p)
    return debias1 * m, m, v


def novograd_amsgrad(g, p, m, v, v_max, beta1, rate1, beta2, rate2, debias1, eps, shrink, size):
    v = followed(v, size * mean(g * g), beta2, rate2)
    v_max = maximum(v_max, v)
    m = beta1 * m + rate1 * (g / (sqrt(v_max) + eps) + shrink * p)
    return debias1 * m, m, v, v_max


NOVOGRAD = Rule(novograd, states={"exp_avg": "signed", "exp_avg_sq": "tensor"})
AMSGRAD = Rule(novograd_amsgrad, states={"exp_avg": "signed", "exp_avg_sq": "tensor", "max_exp_avg_sq": "tensor"})


class NovoGrad(Optimizer):
    """NovoGrad: momentum of gradients that are divided by the running norm of their whole tensor.

    State: ``exp_avg``, and ``exp_avg_sq`` (0-dim, float32; float64 for float64 parameters), the average of the squared
    norm, which begins with the first that is not zero; ``max_exp_avg_sq`` with ``amsgrad``.

    ``weight_decay * p`` joins the divided gradient in the momentum; ``decoupled_weight_decay=True`` keeps it out.
    ``grad_averaging`` dampens what enters the momentum by ``1 - betas[0]``, and ``bias_correction`` undoes the zero
    that the momentum began with; both are off in the authors' code.
    """

    own_decay = True

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.95, 0.98),
        eps=1e-8,
        weight_decay=0.0,
        grad_averaging=False,
        amsgrad=False,
        *,
        bias_correction=False,
        **options: Unpack[Options],
    ):
        super().__init__(
            params,
            options,
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            grad_averaging=grad_averaging,
            amsgrad=amsgrad,
            bias_correction=bias_correction,
        )

    def _check(self, group):
        check_betas(group["betas"], group["foreach"], group["capturable"])
        check_non_negative(group["eps"], "epsilon value")
        super()._check(group)

    def rule(self, group, p):
        return AMSGRAD if group["amsgrad"] else NOVOGRAD

    def constants(self, group, p):
        return {"size": p.numel()}

    def scalars(self, group, t):
        beta1 = group["betas"][0]
        return {
            **averaging(group["betas"]),
            "rate1": 1 - beta1 if group["grad_averaging"] else 1.0,
            "debias1": 1 / (1 - beta1**t) if group["bias_correction"] else 1.0,
            "eps": group["eps"],
            "l2": 0.0,
            "shrink": 0.0 if group["decoupled_weight_decay"] else group["weight_decay"],
        }
