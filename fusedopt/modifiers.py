"""Building blocks around a rule. The engines fix their order; here stands only their maths.

Stage order: scale (clip, maximize) -> l2 -> rule -> cautious -> times lr -> decoupled -> write.
"""

from .math import select


def l2(g, p, weight):
    """Coupled decay: the gradient of ``weight / 2 * |p|^2``."""
    return g + weight * p


def cautious(u, g):
    """Drops what points against ``g``. Liang et al. 2024, arXiv:2411.16085, Algorithm 1 without its rescaling."""
    return select(u * g <= 0, 0, u)  # written so that a NaN in u survives


def decoupled(step, p, decay):
    """Decoupled decay joins the step ``lr * u``, so that the parameter is rounded once."""
    return step + decay * p


MODIFIERS = (l2, cautious, decoupled)
