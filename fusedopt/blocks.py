"""Building blocks composed with a rule: one text that is the whole step, which engines read like any other.

:mod:`fusedopt.modifiers` and :mod:`fusedopt.denominators` have the maths, :mod:`fusedopt.settings` what options ask
for; here stands the order.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import denominators as d
from . import modifiers as m
from .denominators import leading
from .math import select
from .matrix import Matrix, flatten
from .rule import composed, positional, takes
from .settings import chosen, is_set
from .stable import has_moment

KNOWN = ("g", "p", "raw", "u", "step", "new")  # what a block may see besides its states and scalars


@dataclass(frozen=True, eq=False)
class Block:
    """A text of :mod:`fusedopt.modifiers`, and the kind of every state that it keeps."""

    text: Callable
    states: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self):
        return positional(self.text)[0]

    @property
    def arguments(self):
        """States, then scalars."""
        return [name for name in positional(self.text) if name not in KNOWN]

    def apply(self, known):
        """Replaces its target and states in ``known``, values by name."""
        results = self.text(*(known[name] for name in positional(self.text)))
        results = results if isinstance(results, tuple) else (results,)
        known.update(zip((self.target, *self.arguments[: len(self.states)]), results, strict=True))


def _each(*texts):
    return {text.__name__: Block(text) for text in texts}


INITIAL = {"kappa": -1.0}  # what is no bound yet; other states begin with zeros, or a copy of the parameter
_MULTIPLIER = {"lagmul": "tensor"}
_BOUND = {**_MULTIPLIER, "kappa": "tensor"}
_TREND = {**_BOUND, "inflection_point_emas": "tensor", "prev_reg_gradient": "tensor"}

# All blocks in the order of their stages: gradient, direction, step, new parameter.
BLOCKS = {
    **_each(m.clip_value, m.agc, m.soft_clip, m.centralize, m.l2),
    **_each(m.normalize, m.normalize_rows, m.normalize_layer),
    **_each(m.rms_clip, m.cautious, m.cautious_factor, m.trust_ratio, m.trust_ratio_rows),
    **_each(m.decoupled, m.stable_decay, m.cautious_decay, m.lazy, m.lazy_elements),
    "cpr_uniform": Block(m.cpr_uniform, _MULTIPLIER),
    "cpr_dependent": Block(m.cpr_dependent, _BOUND),
    "cpr_warm_start": Block(m.cpr_warm_start, _BOUND),
    "cpr_inflection_point": Block(m.cpr_inflection_point, _TREND),
    "lookahead": Block(m.lookahead, {"slow_buffer": "copy"}),
    "ema": Block(m.ema, {"ema": "copy"}),
}
DIVISIONS = {"eps_inside_root": d.over_inside, "softplus": d.over_softplus, "atan2": d.over_atan2}
MISSING = {
    "divide": "it does not divide a gradient by a root of its own with eps",
    "lead": "it has no numerator in which momentum and gradient could be mixed",
}
BY_ROWS = {"agc", "soft_clip", "centralize", "normalize_rows", "trust_ratio_rows", "lazy"}


def varied(rule, group):
    """``rule`` with another denominator or numerator, where options ask for one."""
    division = next((name for name in DIVISIONS if is_set(group, name)), None)
    for option, keyword in ((division, "divide"), (group["nesterov_mix"] and "nesterov_mix", "lead")):
        if option and not takes(rule, keyword):
            raise ValueError(f"{option} does not fit the rule {rule.name!r}: {MISSING[keyword]}; leave {option} out")
    suffix = "_".join(filter(None, (division, group["nesterov_mix"] and "nesterov")))
    return _varied(rule, division, group["nesterov_mix"], suffix) if suffix else rule


@functools.cache
def _varied(rule, division, nesterov, suffix):
    text = DIVISIONS.get(division, d.over)
    own = [name for name in positional(text)[2:] if name != "eps"]

    def update(g, p, *values):
        values, more = values[: len(values) - len(own)], values[len(values) - len(own) :]
        changed: dict[str, Callable] = {"lead": leading} if nesterov else {}
        if division:
            changed["divide"] = lambda m, root, eps: text(m, root, *(more or [eps]))
        return rule.update(g, p, *values, **changed)

    return composed(update, rule, suffix, (*rule.state_parameters, *rule.scalars, *own), rule.states, module=__name__)


@functools.cache
def assembled(rule, names, lazy_state=False):
    """``rule`` with blocks around it: a whole rule. ``lazy_state`` leaves the state of rows without gradient, too."""
    blocks = [BLOCKS[name] for name in names]
    states = [*rule.state_parameters, *(x for block in blocks for x in block.arguments[: len(block.states)])]
    more = (x for block in blocks for x in block.arguments[len(block.states) :])
    scalars = [*rule.scalars, *(x for x in dict.fromkeys(("lr", *more)) if x not in rule.scalars)]

    def update(g, p, *values):
        known = dict(zip(("g", "p", *states, *scalars, "raw"), (g, p, *values, g), strict=True))
        _apply(blocks, "g", known)
        old = [known[name] for name in rule.state_parameters]
        known["u"], *new = rule.update(known["g"], p, *old, *(known[name] for name in rule.scalars))
        if lazy_state:
            idle = (m.untouched if "lazy" in names else m.untouched_element)(g)
            new = [select(idle, x, y) for x, y in zip(old, new, strict=True)]
        known.update(zip(rule.state_parameters, new, strict=True))
        _apply(blocks, "u", known)
        known["step"] = known["lr"] * known["u"]
        _apply(blocks, "step", known)
        known["new"] = p - known["step"]
        _apply(blocks, "new", known)
        return known["new"], *(known[name] for name in states)

    kinds = {key: kind for part in (rule, *blocks) for key, kind in part.states.items()}
    suffix = "_".join(("with", *names, *(["state"] if lazy_state else [])))
    return composed(update, rule, suffix, (*states, *scalars), kinds, True, __name__)


def _apply(blocks, target, known):
    for block in blocks:
        if block.target == target:
            block.apply(known)


def laid_out(rule, shape, group, p):
    """``rule`` with the blocks that a group asks for on ``p``, and how it sees ``p``; ``rule`` alone sees ``shape``."""
    if group["lazy"] == "all" and rule.sees_matrices:
        raise ValueError(f"lazy='all' does not fit the rule {rule.name!r}, whose state is shared by rows; use 'param'")
    if group["decay"] == "stable" and not has_moment(rule):
        raise ValueError(f"decay='stable' does not fit the rule {rule.name!r}, which has no second moment as Adam's")
    wanted = chosen(group, p)
    names = tuple(name for name in BLOCKS if name in wanted)
    whole = assembled(rule, names, group["lazy"] == "all")
    return whole, _matrix(names, shape, p, rule.sees_matrices) if whole.sees_matrices else shape


def _matrix(names, own, p, sees_matrices):
    """How a rule with these blocks sees ``p``: as the rule itself does, or by the rows that blocks ask for."""
    by_rows = [name for name in names if name in BY_ROWS]
    if p.dim() < 2:
        return own
    wanted = Matrix(1, p.numel() // max(1, p.shape[-1]), p.shape[-1], (), ()) if by_rows == ["lazy"] else flatten(p)
    if not sees_matrices:
        return wanted
    if by_rows and (own.batch, own.rows, own.cols) != (wanted.batch, wanted.rows, wanted.cols):
        raise ValueError(
            f"{by_rows[0]} takes the rows of a {tuple(p.shape)} parameter as {wanted.rows} of {wanted.cols} elements, "
            f"but its rule sees {own.batch} x {own.rows} of {own.cols}; put it into a group without {by_rows[0]}"
        )
    return own
