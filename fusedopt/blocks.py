"""Building blocks composed with a rule: one text that is the whole step, which engines read like any other.

:mod:`fusedopt.modifiers` and :mod:`fusedopt.denominators` have the maths; here stand the order, what options ask for,
and the scalars. Without any of these options a rule stays as it is, and the engines' own flags do the rest.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import denominators as d
from . import modifiers as m
from .denominators import leading
from .math import select
from .matrix import Matrix, flatten
from .rule import composed, positional, takes

KNOWN = ("g", "p", "raw", "u", "step", "new")  # what a block may see besides its states and scalars

# Options that change the text of a step, each with the value that leaves it alone.
STRUCTURAL = {
    "clip_value": None,
    "agc": None,
    "soft_clip": None,
    "centralize": False,
    "normalize": None,
    "eps_inside_root": False,
    "softplus": None,
    "atan2": None,
    "nesterov_mix": False,
    "rms_clip": None,
    "trust_ratio": None,
    "lookahead": None,
    "ema": None,
    "lazy": None,
}


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


# What weight_decay is multiplied by where that is not lr, from lr and its first value: as in optimi and timm; the third
# is Su's of Amos (kexue.fm/archives/9344), with weight_decay = 0.5 / sigma**2.
SCHEDULED = {
    "fully_decoupled": lambda lr, first: lr / first,
    "corrected": lambda lr, first: lr * lr / first,
    "amos": lambda lr, first: lr * first,
}
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


def decay_form(group):
    """How ``weight_decay`` acts: what ``decay`` says, else as torch's flag has it."""
    return group["decay"] or ("decoupled" if group["decoupled_weight_decay"] else "l2")


def is_structural(group):
    """Whether any option asks for another text than the rule's own."""
    return (
        group["decay"] in ("cautious", "stable", "cpr")
        or not isinstance(group["cautious"], bool)
        or any(group[option] is not idle for option, idle in STRUCTURAL.items())
    )


def chosen(group, p):
    """The names of the blocks around the rule of ``p``, in their order; none if the engines' flags are enough."""
    form, decays, cautious = decay_form(group), group["weight_decay"] != 0, group["cautious"]
    lazy = "lazy" if p.dim() > 1 else "lazy_elements"
    wanted = {
        "clip_value": group["clip_value"] is not None,
        "agc": group["agc"] is not None,
        "soft_clip": group["soft_clip"] is not None,
        "centralize": group["centralize"] and p.dim() > 1,
        "l2": form == "l2" and decays,
        {"row": "normalize_rows", "layer": "normalize_layer"}.get(group["normalize"], "normalize"): group["normalize"],
        "rms_clip": group["rms_clip"] is not None,
        "cautious": cautious is True,
        "cautious_factor": not isinstance(cautious, bool),
        {"row": "trust_ratio_rows"}.get(group["trust_ratio"], "trust_ratio"): group["trust_ratio"],
        "decoupled": form not in ("l2", "cautious", "stable", "cpr") and decays,
        "stable_decay": form == "stable" and decays,
        "cautious_decay": form == "cautious" and decays,
        f"cpr_{cpr(group)[0]}": form == "cpr" and p.dim() > 1,
        lazy: group["lazy"] is not None,
        "lookahead": group["lookahead"] is not None,
        "ema": group["ema"] is not None,
    }
    return tuple(name for name in BLOCKS if wanted.get(name))


def decay_scalars(group):
    """How much of the parameter a step takes by itself (``decay``), or adds to the gradient (``l2``)."""
    form, weight = decay_form(group), group["weight_decay"]
    if form == "l2":
        return {"decay": 0.0, "l2": weight}
    share = SCHEDULED[form](group["lr"], group["initial_lr"]) if form in SCHEDULED else group["lr"]
    return {"decay": share * weight, "l2": 0.0}


def remember_lr(group):
    """Keeps the first learning rate of a group whose decay depends on it, as torch's schedulers do."""
    if group["decay"] in SCHEDULED:
        group.setdefault("initial_lr", group["lr"])
        if not group["initial_lr"] > 0:
            raise ValueError(f"decay={group['decay']!r} is relative to the first lr, which is 0; begin with another")


def scalars(group, t):
    """The scalars of all blocks at step ``t``; None for those that are not there."""
    k, alpha = group["lookahead"] or (1, None)
    beta, (bound, kappa) = group["ema"], cpr(group)
    return {
        **{name: group[name] for name in ("clip_value", "agc", "soft_clip", "rms_clip")},
        "softplus_slope": group["softplus"],
        **dict(zip(("atan2_range", "atan2_slope"), group["atan2"] or (None, None), strict=True)),
        **dict(zip(("trust_least", "trust_most"), group["trust_bounds"] or (0.0, math.inf), strict=True)),
        "stability": 0.0,  # until it is measured
        "cautious_factor": 0.0 if group["cautious"] == "rescaled" else group["cautious"],
        "cpr_kappa": kappa,
        "begins": t == 1,
        "cpr_sets": t == kappa,
        "cpr_active": t > (kappa if bound == "warm_start" else 600),
        "lookahead_alpha": alpha,
        "synchronizes": t % k == 0,
        "ema_beta": beta,
        "ema_rate": None if beta is None else 1 - beta,
    }


def cpr(group):
    """How CPR finds its bound, and that way's number."""
    bound = group["cpr_bound"]
    return (bound, None) if isinstance(bound, str) else bound


def varied(rule, group):
    """``rule`` with another denominator or numerator, where options ask for one."""
    division = next((name for name in DIVISIONS if group[name] is not STRUCTURAL[name]), None)
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


def matrix(names, own, p, sees_matrices):
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
