"""Rprop. Riedmiller & Braun 1993, https://doi.org/10.1109/ICNN.1993.298623, without backtracking, as torch's."""

from typing import ClassVar, Unpack

from ..combinations import OWN_STEP_SIZE
from ..math import maximum, minimum, select
from ..optimizer import Optimizer, Options
from ..rule import Rule


def rprop(g, p, prev, size, shrink, grow, smallest, largest):
    turn = g * prev
    factor = select(turn > 0, grow, select(turn < 0, shrink, 1))
    size = minimum(maximum(size * factor, smallest), largest)
    g = select(turn < 0, 0, g)
    return select(g > 0, size, select(g < 0, -size, 0)), g, size


RPROP = Rule(rprop, states={"prev": "bound", "step_size": "bound"})


class Rprop(Optimizer):
    """Rprop, for gradients of the whole data set; a drop-in for :class:`torch.optim.Rprop`.

    Every weight has a ``step_size``, at first ``lr``: it grows by ``etas[1]`` while the gradient keeps its sign and
    shrinks by ``etas[0]`` when that turns, within ``step_sizes``. ``lr`` has no effect after a weight's first step.
    A NaN gradient counts as zero, as in torch.
    """

    contradicts: ClassVar = OWN_STEP_SIZE

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), **options: Unpack[Options]):
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, options, lr=lr, etas=etas, step_sizes=step_sizes, weight_decay=0.0)

    def rule(self, group, p):
        return RPROP

    def initial(self, group):
        return {"step_size": group["lr"]}

    def scalars(self, group, t):
        return {
            "lr": 1.0,
            **dict(zip(("shrink", "grow"), group["etas"], strict=True)),
            **dict(zip(("smallest", "largest"), group["step_sizes"], strict=True)),
        }
