"""What a direction is made of, where a rule leaves that open by keyword-only parameters.

``divide``: the momentum over ``root``, its estimate of |g|. ``lead``: the numerator, of new momentum and gradient.
``mask``: what is kept of the quotient, before a rule's own decay and trust ratio.
"""

from .math import atan2, softplus, sqrt


def over(m, root, eps):
    """``eps`` outside the root, as torch has it."""
    return m / (root + eps)


def over_inside(m, root, eps):
    """``eps`` inside the root, as in TensorFlow's RMSprop."""
    return m / sqrt(root * root + eps)


def over_softplus(m, root, softplus_slope):
    """A smooth bound from below, ln 2 / softplus_slope. Tong et al. 2019, arXiv:1908.00700, on the corrected root."""
    return m / (softplus(softplus_slope * root) / softplus_slope)


def over_atan2(m, root, atan2_range, atan2_slope):
    """Bounded by atan2_range * pi / 2 and free of scale. Everett et al. 2024, arXiv:2407.05872, section 5."""
    return atan2_range * atan2(m, atan2_slope * root)


def momentum(m, g, beta1, rate1):
    return m


def unmasked(u, g):
    return u


def leading(m, g, beta1, rate1):
    """Where the momentum will be if the gradient stays, then corrected as the momentum is: MLCommons' NAdamW.

    Dozat 2016, Algorithm 8, corrects the momentum's share for the next step; :class:`fusedopt.NAdam` does.
    """
    return beta1 * m + rate1 * g
