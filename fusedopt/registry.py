"""Optimizers by name: a class in lower case, with building blocks before and after it."""

import difflib
import importlib
import inspect
from fnmatch import fnmatchcase

import torch

from . import state
from .groups import param_groups
from .optimizer import Optimizer

PREFIXES = {
    "cautious": {"cautious": True},
    "decoupled": {"decoupled_weight_decay": True},
    "lookahead": {"lookahead": (6, 0.5)},
    "centralized": {"centralize": True},
    "lazy": {"lazy": "all"},
}
SUFFIXES = {
    **{name: {"state_format": name} for name in state.FORMATS if name != "param"},
    **{name: {"weight_format": name} for name in getattr(state, "WEIGHT_FORMATS", ()) if name != "plain"},
}


CUSTOM: dict[str, type[Optimizer]] = {}  # what fusedopt.register_rule made


def classes() -> dict[str, type[torch.optim.Optimizer]]:
    """Every optimizer that the package exports or that was registered, by its name in lower case."""
    package = importlib.import_module("fusedopt")
    exported = {name.lower(): getattr(package, name) for name in package.__all__}
    optimizers = {k: x for k, x in exported.items() if isinstance(x, type) and issubclass(x, torch.optim.Optimizer)}
    return {**optimizers, **CUSTOM}


def list_optimizers(pattern: str = "*") -> list[str]:
    """The sorted names of optimizers that match ``pattern``, as in :mod:`fnmatch`.

    These are classes. Any of PREFIXES may stand before and any of SUFFIXES after one: ``"cautious_adamw_8bit"``.
    """
    return sorted(name for name in classes() if fnmatchcase(name, pattern.lower()))


def is_known(name: str) -> bool:
    """Whether :func:`create_optimizer` has an optimizer of this name."""
    try:
        parse(name)
    except ValueError:
        return False
    return True


def create_optimizer(name: str, model_or_params, **options) -> torch.optim.Optimizer:
    """The optimizer that ``name`` describes; ``options`` are the arguments of its class.

    ``model_or_params`` is a module, whose norms, biases and vectors are then left undecayed
    (:func:`fusedopt.param_groups`), or anything that an optimizer takes: tensors, named tensors or groups.

    Raises ValueError for an unknown name, with the nearest ones, and for building blocks that contradict each other.
    """
    cls, blocks = parse(name)
    if twice := blocks.keys() & options.keys():
        option = twice.pop()
        raise ValueError(f"{option} is set by the name {name!r} and by {option}={options[option]!r}; drop one of them")
    options = {**blocks, **options}
    if isinstance(model_or_params, torch.nn.Module):
        model_or_params = _groups(cls, model_or_params, options)
    return cls(model_or_params, **options)


def parse(name: str) -> tuple[type[torch.optim.Optimizer], dict]:
    """The class that ``name`` stands for, and the options that its building blocks set."""
    words, known = name.lower().split("_"), classes()
    lengths = ((start, start + n) for n in range(len(words), 0, -1) for start in range(len(words) - n + 1))
    span = next((span for span in lengths if "_".join(words[slice(*span)]) in known), None)
    if span is None:
        raise _unknown(name)
    cls = known["_".join(words[slice(*span)])]
    options: dict = {}
    for block in (*_blocks(words[: span[0]], PREFIXES, name), *_blocks(words[span[1] :], SUFFIXES, name)):
        _add(options, block, name)
    if options and not issubclass(cls, Optimizer):
        option = next(iter(options))
        raise ValueError(f"{name!r} sets {option}, but {cls.__name__} is torch's own class and takes no building block")
    return cls, options


def _blocks(words, table, name):
    """The blocks that ``words`` spell; the name of one may have underscores."""
    while words:
        length = next((n for n in range(len(words), 0, -1) if "_".join(words[:n]) in table), None)
        if length is None:
            raise _unknown(name)
        yield table["_".join(words[:length])]
        words = words[length:]


def _add(options, block, name):
    ((option, value),) = block.items()
    if option in options:
        raise ValueError(f"{name!r} sets {option} twice, to {options[option]!r} and to {value!r}; name one of them")
    options[option] = value


def _unknown(name):
    words, known = name.lower().split("_"), classes()
    kept = [word for word in words if word in PREFIXES], [word for word in words if word in SUFFIXES]
    rest = "".join(word for word in words if word not in PREFIXES and word not in SUFFIXES)
    nearest = [repr("_".join([*kept[0], match, *kept[1]])) for match in difflib.get_close_matches(rest, known)]
    hint = f"did you mean {', '.join(nearest)}?" if nearest else "fusedopt.list_optimizers() has the names."
    return ValueError(
        f"unknown optimizer {name!r}; {hint} "
        f"Before a class may stand {', '.join(PREFIXES)}, after it {', '.join(SUFFIXES)}"
    )


def _groups(cls, model, options):
    parameter = inspect.signature(cls).parameters.get("weight_decay")
    decay = options.get("weight_decay", parameter.default if parameter else 0.0)
    return param_groups(model, decay) if decay else list(model.named_parameters())
