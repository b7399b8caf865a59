"""Learning-rate schedules that torch lacks; each multiplies the groups' initial rates by a factor of the step count t.

t is 0 at the first step. As with torch's, call ``schedule.step()`` after ``optimizer.step()``.
"""

import math
from itertools import pairwise

from torch.optim.lr_scheduler import LRScheduler

from .validation import check_non_negative


class FactorLR(LRScheduler):
    """A schedule in closed form: ``initial rate * factor(t)``."""

    def factor(self, t):
        raise NotImplementedError

    def get_lr(self):
        factor = self.factor(self.last_epoch)
        return [rate * factor for rate in self.base_lrs]


class PiecewiseLinearLR(FactorLR):
    """Straight lines between ``milestones``, a mapping of step counts to factors; constant after the last.

    It begins at (0, 0) unless 0 is a milestone, so ``{1000: 1.0, 20000: 0.1}`` warms up for 1000 steps and then falls.
    A factor of 0 leaves weights in place while states move. Su's bert4keras calls this piecewise linear.

    Raises ValueError for no milestones, or one that is not a whole number of steps with a finite factor from 0.
    """

    def __init__(self, optimizer, milestones, last_epoch=-1):
        for t, factor in milestones.items():
            if not (isinstance(t, int) and t >= 0 and math.isfinite(factor) and factor >= 0.0):
                raise ValueError(f"Invalid milestone {t!r}: {factor!r}; give whole steps from 0 and factors from 0")
        if not milestones:
            raise ValueError("PiecewiseLinearLR: milestones is empty; give at least one, such as {1000: 1.0}")
        self.milestones = sorted({0: 0.0, **milestones}.items())
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        for (start, low), (end, high) in pairwise(self.milestones):
            if t < end:
                return low + (high - low) * (t - start) / (end - start)
        return self.milestones[-1][1]


class InverseTimeLR(FactorLR):
    """``1 / (rate * t + 1)``: halved after ``1 / rate`` steps.

    Amos' schedules, as Su derives them (kexue.fm/archives/9344), are this with ``rate = 2 * alpha0 * p0`` for the step
    ``alpha_t`` and the shrinkage ``rho_t = alpha0**2 / 2 * factor`` alike. Where updates have a root mean square near 1
    (Adam's) and weights are to reach the size ``sigma``, set ``lr = alpha0 * sigma`` and decoupled
    ``weight_decay = alpha0 / (2 * sigma)``; alpha0 is about 1e-3 and p0, the cosine between update and error, below 1.
    """

    def __init__(self, optimizer, rate, last_epoch=-1):
        check_non_negative(rate, "rate")
        self.rate = rate
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return 1 / (self.rate * t + 1)


class InverseSquareLR(InverseTimeLR):
    """``1 / (rate * t + 1) ** 2``: Su's other form, for a cosine p that stays the same; ``rate = alpha0 * p``."""

    def factor(self, t):
        return super().factor(t) ** 2
