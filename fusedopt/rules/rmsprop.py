"""RMSprop. Hinton 2012, lecture 6e of his course; centered: Graves 2013, arXiv:1308.0850, equations 38 to 45."""

from typing import Unpack

from ..denominators import over
from ..math import maximum, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..validation import check_non_negative


def rmsprop(g, p, v, alpha, rate, eps, *, divide=over):
    v = alpha * v + rate * g * g
    return divide(g, sqrt(v), eps), v


def rmsprop_centered(g, p, v, a, alpha, rate, eps, *, divide=over):
    v = alpha * v + rate * g * g
    a = alpha * a + rate * g
    root = sqrt(v)
    variance = maximum((root - a) * (root + a), 0)  # infinite, not NaN, once v and a * a have overflowed
    return divide(g, sqrt(variance), eps), v, a


def rmsprop_momentum(g, p, v, b, alpha, rate, eps, momentum, *, divide=over):
    u, v = rmsprop(g, p, v, alpha, rate, eps, divide=divide)
    b = momentum * b + u
    return b, v, b


def rmsprop_centered_momentum(g, p, v, b, a, alpha, rate, eps, momentum, *, divide=over):
    u, v, a = rmsprop_centered(g, p, v, a, alpha, rate, eps, divide=divide)
    b = momentum * b + u
    return b, v, b, a


# The variance v - a * a of two rank-1 matrices would be of any sign: so grad_avg is a "bound".
RULES = {
    (False, False): Rule(rmsprop, {"square_avg": "positive"}),
    (False, True): Rule(rmsprop_momentum, {"square_avg": "positive", "momentum_buffer": "signed"}),
    (True, False): Rule(rmsprop_centered, {"square_avg": "positive", "grad_avg": "bound"}),
    (True, True): Rule(
        rmsprop_centered_momentum, {"square_avg": "positive", "momentum_buffer": "signed", "grad_avg": "bound"}
    ),
}


class RMSprop(Optimizer):
    """RMSprop; a drop-in for :class:`torch.optim.RMSprop`.

    ``eps`` is added outside the root, nothing is bias-corrected, and the learning rate is outside the momentum buffer.
    ``centered`` divides by the deviation of the gradient; where rounding leaves a negative variance, torch gives NaN
    and this class takes it as zero.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  torch's order has flags among them
    ):
        check_non_negative(eps, "epsilon value")
        check_non_negative(momentum, "momentum value")
        check_non_negative(alpha, "alpha value")
        flags = dict(capturable=capturable, foreach=foreach, maximize=maximize, differentiable=differentiable)
        super().__init__(
            params,
            {**options, **flags},
            lr=lr,
            momentum=momentum,
            alpha=alpha,
            eps=eps,
            centered=centered,
            weight_decay=weight_decay,
        )

    def rule(self, group, p):
        return RULES[bool(group["centered"]), group["momentum"] > 0]

    def scalars(self, group, t):
        alpha = group["alpha"]
        return {"alpha": alpha, "rate": 1 - alpha, "eps": group["eps"], "momentum": group["momentum"]}
