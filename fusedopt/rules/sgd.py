"""SGD with momentum, dampening and Nesterov's variant. Sutskever et al. 2013; the update order is torch's."""

from typing import Unpack

from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..validation import check_non_negative


def sgd(g, p):
    return (g,)


def sgd_momentum(g, p, b, momentum, rate):
    b = momentum * b + rate * g
    return b, b


def sgd_nesterov(g, p, b, momentum, rate):
    b = momentum * b + rate * g
    return g + momentum * b, b


PLAIN = Rule(sgd)
MOMENTUM = Rule(sgd_momentum, states={"momentum_buffer": "signed"})
NESTEROV = Rule(sgd_nesterov, states={"momentum_buffer": "signed"})


class SGD(Optimizer):
    """Stochastic gradient descent; a drop-in for :class:`torch.optim.SGD`.

    The learning rate is outside the buffer, and the first step takes the gradient undampened, as in torch.
    """

    counts_steps = False

    def __init__(
        self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, **options: Unpack[Options]
    ):
        check_non_negative(momentum, "momentum value")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            options,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def rule(self, group, p):
        if group["momentum"] == 0:
            return PLAIN
        return NESTEROV if group["nesterov"] else MOMENTUM

    def scalars(self, group, t):
        first = not group["momentum"] or t == 1
        return {"momentum": group["momentum"], "rate": 1.0 if first else 1 - group["dampening"]}
