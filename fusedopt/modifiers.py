"""Building blocks around a rule, only their maths; :mod:`fusedopt.blocks` has their order.

The first argument is what a block replaces: the gradient ``g``, the rule's direction ``u``, the ``step`` lr * u, or the
``new`` parameter. It may see the others that are known by then and the old parameter ``p``; states of its own follow,
whose new values it returns, and scalars. Where a block takes means over rows, a row is an output unit.
"""

from .math import abs, maximum, mean, minimum, row_max, row_mean, select, sqrt


def clip_value(g, clip_value):
    """Every component to [-clip_value, clip_value]."""
    return maximum(-clip_value, minimum(g, clip_value))


def agc(g, p, agc, root_cols):
    """Adaptive clipping: |g| <= agc * max(|p|, 1e-3) for every unit. Brock et al. 2021, arXiv:2102.06171, (3)."""
    size, bound = sqrt(row_mean(g * g)) * root_cols, agc * maximum(sqrt(row_mean(p * p)) * root_cols, 1e-3)
    return g * select(size > bound, bound / maximum(size, 1e-6), 1)


def soft_clip(g, p, soft_clip):
    """A unit's gradient is no larger than the unit, both in root mean square and ``soft_clip`` at least."""
    size, bound = (maximum(sqrt(row_mean(x * x)), soft_clip) for x in (g, p))
    return g * (minimum(size, bound) / size)


def centralize(g):
    """Takes every unit's mean out of its gradient. Yong et al. 2020, arXiv:2004.01461, (1)."""
    return g - row_mean(g)


def l2(g, p, l2):
    """Coupled decay: the gradient of ``l2 / 2 * |p|^2``."""
    return g + l2 * p


def normalize(g, root_numel):
    """A gradient of length one, for every parameter."""
    return g / (sqrt(mean(g * g)) * root_numel + 1e-8)


def normalize_rows(g, root_cols):
    return g / (sqrt(row_mean(g * g)) * root_cols + 1e-8)


def normalize_layer(g, p):
    """A gradient as long as the parameter."""
    return g * _ratio(mean(p * p), mean(g * g))


def _ratio(a, b):
    """The root of a / b; one where either is zero."""
    return select(a <= 0, 1, select(b <= 0, 1, sqrt(a) / sqrt(b)))


def rms_clip(u, rms_clip):
    """An update of root mean square ``rms_clip`` at most. Shazeer & Stern 2018, arXiv:1804.04235, section 6."""
    return u / maximum(1, sqrt(mean(u * u)) / rms_clip)


def cautious(u, g):
    """Drops what points against ``g``. Liang et al. 2024, arXiv:2411.16085, Algorithm 1 without its rescaling."""
    return select(u * g <= 0, 0, u)  # written so that a NaN in u survives


def cautious_factor(u, g, cautious_factor):
    """What points against ``g`` is multiplied by the factor, 0 in Algorithm 1, and all rescaled to a mean of one."""
    weight = select(u * g > 0, 1, cautious_factor)
    return u * (weight / maximum(mean(weight), 1e-3))


def trust_ratio(u, p, trust_least, trust_most):
    """A direction as long as the parameter. You et al. 2020, arXiv:1904.00962, Algorithm 2, its bounds on the ratio."""
    return u * minimum(maximum(_ratio(mean(p * p), mean(u * u)), trust_least), trust_most)


def trust_ratio_rows(u, p, trust_least, trust_most):
    """The same for every unit."""
    return u * minimum(maximum(_ratio(row_mean(p * p), row_mean(u * u)), trust_least), trust_most)


def decoupled(step, p, decay):
    """Decoupled decay joins the step ``lr * u``, so that the parameter is rounded once."""
    return step + decay * p


def stable_decay(step, p, decay, stability):
    """Decoupled decay over the root of the second moment's mean (:mod:`fusedopt.stable`)."""
    return step + decay * stability * p


def cautious_decay(step, u, p, decay):
    """Decays only what the direction shrinks, or leaves. Chen et al. 2025, arXiv:2510.12402, Algorithm 1."""
    return step + select(u * p < 0, 0, decay * p)


def _grown(multiplier, size, bound, numel):
    """The multiplier of a decay, which grows while the size is above its bound."""
    return maximum(multiplier + (size - bound) / numel, 0)


def _shrunk(new, multiplier):
    """A step down the gradient of ``multiplier * |new|^2``."""
    return new - 2 * multiplier * new


def cpr_uniform(new, cpr_multiplier, cpr_kappa, numel):
    """Constrained parameters: |p|^2 to a bound. Franke et al. 2023, arXiv:2311.09058, Algorithm 1."""
    multiplier = _grown(cpr_multiplier, mean(new * new) * numel, cpr_kappa, numel)
    return _shrunk(new, multiplier), multiplier


def cpr_dependent(new, p, cpr_multiplier, cpr_limit, cpr_kappa, numel):
    """The bound is a multiple of what |p|^2 was before the first step; it is below zero until then."""
    limit = select(cpr_limit < 0, cpr_kappa * (mean(p * p) * numel), cpr_limit)
    multiplier = _grown(cpr_multiplier, mean(new * new) * numel, limit, numel)
    return _shrunk(new, multiplier), multiplier, limit


def cpr_warm_start(new, cpr_multiplier, cpr_limit, cpr_sets, cpr_active, numel):
    """The bound is what |p|^2 was after so many steps."""
    size = mean(new * new) * numel
    limit = select(cpr_limit < 0, select(cpr_sets > 0, size, cpr_limit), cpr_limit)
    multiplier = select(cpr_active > 0, _grown(cpr_multiplier, size, limit, numel), 0)
    return _shrunk(new, multiplier), multiplier, limit


def cpr_inflection_point(new, cpr_multiplier, cpr_limit, cpr_trend, cpr_slope, cpr_active, numel):
    """The bound is |p|^2 where the growth of its average first slows down; below zero until then."""
    size = mean(new * new) * numel
    followed = 0.9 * cpr_trend + 0.1 * size
    grown = followed - cpr_trend
    slows = select(cpr_slope > grown, cpr_active, 0)
    limit = select(cpr_limit < 0, select(slows > 0, size, cpr_limit), cpr_limit)
    multiplier = select(limit < 0, 0, _grown(cpr_multiplier, size, limit, numel))
    return _shrunk(new, multiplier), multiplier, limit, followed, grown


def lookahead(new, slow_weights, lookahead_alpha, synchronizes):
    """Slow weights that follow every k steps, and where fast ones then start. Zhang et al. 2019, arXiv:1907.08610."""
    followed = slow_weights + lookahead_alpha * (new - slow_weights)
    return select(synchronizes > 0, followed, new), select(synchronizes > 0, followed, slow_weights)


def ema(new, ema_weights, ema_beta, ema_rate):
    """A running average of the parameter."""
    return new, ema_beta * ema_weights + ema_rate * new


def untouched(raw):
    """Whether all of a row's gradient is zero; false for a NaN."""
    return row_max(abs(raw)) <= 0


def untouched_element(raw):
    return abs(raw) <= 0


def lazy(new, p, raw):
    """Rows without gradient stay where they are."""
    return select(untouched(raw), p, new)


def lazy_elements(new, p, raw):
    return select(untouched_element(raw), p, new)


FLAGS = (l2, cautious, decoupled)  # those that engines apply themselves, as the scalars of a step say
