"""Building blocks composed with a rule: one text that is the whole step, which engines read like any other.

:mod:`fusedopt.modifiers` and :mod:`fusedopt.denominators` have the maths, :mod:`fusedopt.settings` what options ask
for; here stands the order.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import denominators as d
from . import modifiers as m
from .math import select
from .matrix import Matrix, flatten, one_row
from .rule import MAX_STATES, composed, positional, takes
from .settings import chosen, is_set
from .stable import has_moment

GIVEN = ("eps", "beta1", "rate1")  # what a rule gives the texts inside it
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
STATES = frozenset(name for block in BLOCKS.values() for name in block.states)
# Texts inside a rule, by option and the parameter that takes them.
INSIDE = {
    "eps_inside_root": ("divide", d.over_inside),
    "softplus": ("divide", d.over_softplus),
    "atan2": ("divide", d.over_atan2),
    "nesterov_mix": ("lead", d.leading),
}
MISSING = {
    "divide": "it does not divide a gradient by a root of its own with eps",
    "lead": "it has no numerator in which momentum and gradient could be mixed",
}
BY_ROWS = {"agc", "soft_clip", "centralize", "normalize_rows", "trust_ratio_rows", "lazy"}


def varied(rule, group):
    """``rule`` with other texts inside, where options ask for them, and the options for what stands around it."""
    texts = {keyword: text for option, (keyword, text) in INSIDE.items() if is_set(group, option)}
    for option, (keyword, _) in INSIDE.items():
        if is_set(group, option) and not takes(rule, keyword):
            raise ValueError(f"{option} does not fit the rule {rule.name!r}: {MISSING[keyword]}; leave {option} out")
    if group["cautious"] is not False and takes(rule, "mask"):
        texts["mask"] = m.cautious if group["cautious"] is True else m.cautious_factor
        group = {**group, "cautious": False}
    return _varied(rule, tuple(texts.items())) if texts else rule, group


@functools.cache
def _varied(rule, texts):
    own = {keyword: [x for x in positional(text)[2:] if x not in GIVEN] for keyword, text in texts}
    names = [name for of_text in own.values() for name in of_text]

    def update(g, p, *values):
        known = dict(zip(names, values[len(values) - len(names) :], strict=True))
        changed = {keyword: _completed(text, [known[name] for name in own[keyword]]) for keyword, text in texts}
        return rule.update(g, p, *values[: len(values) - len(names)], **changed)

    parameters = (*rule.state_parameters, *rule.scalars, *names)
    suffix = "_".join(text.__name__ for _, text in texts)
    return composed(update, rule, suffix, parameters, rule.states, module=__name__)


def _completed(text, own):
    """``text`` as a rule calls it: with scalars of its own in place of what the rule would give, if it has any."""
    return (lambda a, b, *given: text(a, b, *own)) if own else text


@functools.cache
def assembled(rule, names, lazy_state=False):
    """``rule`` with blocks around it: a whole rule. ``lazy_state`` leaves the state of rows without gradient, too."""
    blocks = [BLOCKS[name] for name in names]
    _check_names(rule, blocks)
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
    if len(kinds) > MAX_STATES:
        stateful = ", ".join(name for name in names if BLOCKS[name].states)
        raise ValueError(
            f"rule {rule.name!r} with {stateful} keeps {len(kinds)} states a parameter; engines carry at most "
            f"{MAX_STATES}: leave one of the blocks out, or choose a cpr_bound of fewer states, such as 'uniform'"
        )
    suffix = "_".join(("with", *names, *(["state"] if lazy_state else [])))
    return composed(update, rule, suffix, (*states, *scalars), kinds, True, __name__)


def _check_names(rule, blocks):
    """Refuses arguments of a user's rule that are called as those of a block."""
    clash = {*rule.state_parameters} & {x for block in blocks for x in block.arguments}
    clash |= {*rule.states} & {x for block in blocks for x in block.states}
    if clash:
        raise ValueError(f"rule {rule.name!r}: {min(clash)!r} is the name of a block's own; call it otherwise")


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
        wanted = one_row(p)
    elif by_rows == ["lazy"]:
        wanted = Matrix(1, p.numel() // max(1, p.shape[-1]), p.shape[-1], (), ())
    else:
        wanted = flatten(p)
    if not sees_matrices:
        return wanted
    if by_rows and (own.batch, own.rows, own.cols) != (wanted.batch, wanted.rows, wanted.cols):
        raise ValueError(
            f"{by_rows[0]} takes the rows of a {tuple(p.shape)} parameter as {wanted.rows} of {wanted.cols} elements, "
            f"but its rule sees {own.batch} x {own.rows} of {own.cols}; put it into a group without {by_rows[0]}"
        )
    return own
