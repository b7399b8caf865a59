"""Which building blocks go together: their values, pairs that contradict each other, and pointless pairs."""

import inspect
import math
import warnings

from .settings import cpr, decay_form

DECAYS = ("l2", "decoupled", "fully_decoupled", "corrected", "stable", "cautious", "cpr", "amos")
CPR_BOUNDS = ("inflection_point", "warm_start", "uniform", "dependent")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value):
    return _is_number(value) and 0 < value < math.inf


def _is_share(value):
    return _is_number(value) and 0 <= value <= 1


def _is_pair(value, first, second):
    return isinstance(value, tuple | list) and len(value) == 2 and first(value[0]) and second(value[1])


def _is_whole(value):
    return _is_number(value) and isinstance(value, int) and value >= 1


def _is_cpr_bound(value):
    name, number = value if _is_pair(value, bool, bool) else (value, None)
    if name == "inflection_point":
        return number is None
    return name in CPR_BOUNDS and (_is_whole(number) if name == "warm_start" else _is_positive(number))


# Option -> what its value must be, if it is not the idle one, and whether it is that.
VALUES = {
    **dict.fromkeys(("clip_value", "agc", "soft_clip", "rms_clip", "softplus"), ("a number above 0", _is_positive)),
    "normalize": ("'tensor', 'row' or 'layer'", ("tensor", "row", "layer").__contains__),
    "trust_ratio": ("'tensor' or 'row'", ("tensor", "row").__contains__),
    "trust_bounds": (
        "(least, most), numbers with 0 <= least <= most",
        lambda x: _is_pair(x, lambda a: a >= 0, lambda b: b >= x[0]),
    ),
    "cautious": (
        "True, 'rescaled', or a factor in [0, 1] for what points against the gradient",
        lambda x: x in (True, "rescaled") or _is_share(x),
    ),
    "atan2": ("(range, slope), numbers above 0", lambda x: _is_pair(x, _is_positive, _is_positive)),
    "decay": (", ".join(map(repr, DECAYS)), DECAYS.__contains__),
    "cpr_bound": (
        "'inflection_point', ('warm_start', steps), ('uniform', |p|^2) or ('dependent', multiple of |p|^2)",
        _is_cpr_bound,
    ),
    "lazy": ("'param' or 'all'", ("param", "all").__contains__),
    "lookahead": ("(k, alpha), a whole number from 1 and a share", lambda x: _is_pair(x, _is_whole, _is_share)),
    "ema": ("a share below 1", lambda x: _is_share(x) and x < 1),
    "accumulate": ("a whole number of micro-batches from 1", _is_whole),
    "fractional": (
        "(alpha, terms), 0 < alpha < 1 and up to 32 terms",
        lambda x: _is_pair(x, lambda a: 0 < a < 1, lambda n: _is_whole(n) and n <= 32),
    ),
}

IDLE = {"cautious": False, "accumulate": 1, "cpr_bound": "inflection_point"}  # None for the others
ALWAYS = ("accumulate", "cpr_bound")  # options that are never off

# Options of the whole optimizer.
SHARED = {
    "max_grad_norm": "bounds the gradient of the whole optimizer",
    "accumulate": "counts the micro-batches of the whole optimizer",
}

# What is asked for, as messages name it -> whether a group does.
ASKS = {
    "max_grad_norm": lambda group: group["max_grad_norm"] is not None,
    "clip_value": lambda group: group["clip_value"] is not None,
    "agc": lambda group: group["agc"] is not None,
    "soft_clip": lambda group: group["soft_clip"] is not None,
    "normalize": lambda group: group["normalize"] is not None,
    "normalize='tensor' or 'row'": lambda group: group["normalize"] in ("tensor", "row"),
    "normalize='layer'": lambda group: group["normalize"] == "layer",
    "centralize": lambda group: group["centralize"],
    "eps_inside_root": lambda group: group["eps_inside_root"],
    "softplus": lambda group: group["softplus"] is not None,
    "atan2": lambda group: group["atan2"] is not None,
    "rms_clip": lambda group: group["rms_clip"] is not None,
    "trust_ratio": lambda group: group["trust_ratio"] is not None,
    "cautious='rescaled'": lambda group: group["cautious"] == "rescaled",
    "cautious": lambda group: group["cautious"] is not False,
    "cautious with rescaling": lambda group: not isinstance(group["cautious"], bool),
    "decay other than 'l2'": lambda group: decay_form(group) != "l2",
    "lazy": lambda group: group["lazy"] is not None,
    "lazy='all'": lambda group: group["lazy"] == "all",
    "lookahead": lambda group: group["lookahead"] is not None,
    "ema": lambda group: group["ema"] is not None,
    "decay='l2'": lambda group: group["decay"] == "l2",
    "decay": lambda group: group["decay"] is not None,
    "decoupled_weight_decay": lambda group: group["decoupled_weight_decay"],
    "decay='stable'": lambda group: group["decay"] == "stable",
    "decay='cpr'": lambda group: group["decay"] == "cpr",
    "coupled weight_decay": lambda group: decay_form(group) == "l2" and group["weight_decay"] != 0,
    "weight_decay": lambda group: group["weight_decay"] != 0,
    "cpr_bound": lambda group: cpr(group)[0] != "inflection_point",
    "trust_bounds": lambda group: group["trust_bounds"] is not None,
}

# What cannot both be asked for, and why.
CONTRADICTIONS = [
    ("clip_value", "max_grad_norm", "both bound the raw gradient"),
    ("agc", "soft_clip", "both bound the gradient of a unit by its size"),
    ("normalize='tensor' or 'row'", "max_grad_norm", "a normalized gradient no longer shows that it was clipped"),
    ("normalize='layer'", "trust_ratio", "both scale by the parameter's length"),
    ("softplus", "atan2", "a direction has one denominator"),
    ("softplus", "eps_inside_root", "softplus needs no eps"),
    ("atan2", "eps_inside_root", "atan2 needs no eps"),
    ("decay='l2'", "decoupled_weight_decay", "one adds the decay to the gradient, the other to the step"),
    ("decay='cpr'", "weight_decay", "the multiplier takes the place of a decay; set weight_decay=0"),
    *(
        ("decay='stable'", other, "it takes the second moment's mean from the raw gradients")
        for other in ("clip_value", "agc", "soft_clip", "centralize", "normalize", "lazy='all'")
    ),
    *(
        ("decay='stable'", other, "it goes by the root of the second moment, which is not the denominator then")
        for other in ("softplus", "atan2", "eps_inside_root")
    ),
    ("lazy", "decay='cpr'", "the length of a parameter counts the rows that stay, too"),
    *(
        ("lazy='all'", other, "it takes sums over rows that are to be left alone")
        for other in ("normalize", "trust_ratio", "rms_clip", "cautious with rescaling")
    ),
]

# What does not go with rules that make steps of a size of their own, whose direction `lr` does not multiply.
OWN_STEP_SIZE = {
    "trust_ratio": "its direction holds the step size, which the ratio would cancel",
    "rms_clip": "its direction holds the step size, so the bound would not be of the direction",
}

# What changes nothing beside something else, and what happens.
POINTLESS = [
    ("cautious='rescaled'", "trust_ratio", "the trust ratio cancels the rescaling"),
    ("lazy='all'", "coupled weight_decay", "rows without gradient are not decayed"),
    ("lazy='all'", "centralize", "rows without gradient are left alone before"),
    ("lazy='all'", "lookahead", "slow weights are kept for all rows in every step"),
    ("lazy='all'", "ema", "the average is kept for all rows in every step"),
]

# An option that only says how another one works.
NEEDS = [("trust_bounds", "trust_ratio"), ("cpr_bound", "decay='cpr'")]


def refuse(cls, group):
    """Raises ValueError for a value out of range or a contradiction."""
    _check_values(group)
    for one, other, reason in CONTRADICTIONS:
        if ASKS[one](group) and ASKS[other](group):
            remedy = _without_preset(cls, group, one, other) or "leave one of them out"
            raise ValueError(f"{cls.__name__}: {one} contradicts {other}: {reason}; {remedy}")
    for block, reason in cls.contradicts.items():
        if ASKS[block](group):
            raise ValueError(f"{cls.__name__} contradicts {block}: {reason}; leave {block} out")
    for option, needed in NEEDS:
        if ASKS[option](group) and not ASKS[needed](group):
            raise ValueError(f"{cls.__name__}: {option} without {needed} does nothing; leave it out")
    if cls.own_decay and group["decay"] is not None:
        raise ValueError(f"{cls.__name__} has a decay of its own; leave decay={group['decay']!r} out")
    _check_eps(cls, group)


def warn(cls, group):
    """Warns of what is pointless."""
    for one, other, reason in POINTLESS:
        if ASKS[one](group) and ASKS[other](group):
            warnings.warn(f"{cls.__name__}: {one} beside {other}: {reason}", stacklevel=5)
    for block, reason in cls.pointless.items():
        if ASKS[block](group):
            warnings.warn(f"{block} beside {cls.__name__}: {reason}", stacklevel=5)


def _check_values(group):
    for option, (what, is_valid) in VALUES.items():
        idle = IDLE.get(option)
        if group[option] is not idle and not is_valid(group[option]):
            others = f", or {idle}" if option not in ALWAYS else ""
            raise ValueError(f"Invalid {option}: {group[option]!r}; it must be {what}{others}")


def _without_preset(cls, group, *options):
    """The remedy where one of the options was not given by the user, but is the class' own."""
    preset = next((x for x in options if x in cls.presets and group[x] == cls.presets[x]), None)
    return preset and f"{cls.__name__} sets {preset}={cls.presets[preset]} by itself: give {preset}=None"


def check_shared(groups):
    """Raises ValueError where groups differ in an option of the whole optimizer."""
    for option, why in SHARED.items():
        values = list(dict.fromkeys(group[option] for group in groups))
        if len(values) > 1:
            raise ValueError(f"{option} {why}, but its groups differ: {values}; give all groups the same")


def _check_eps(cls, group):
    """Refuses an eps that was given to a denominator without one."""
    usual = inspect.signature(cls).parameters.get("eps")
    for option in ("softplus", "atan2"):
        if group[option] is not None and usual is not None and group.get("eps") != usual.default:
            raise ValueError(f"{cls.__name__}: eps={group['eps']} contradicts {option}, which has none; leave eps out")
