"""Parameter groups of a model: which parameters are decayed."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import nn

# timm and transformers leave these undecayed by their dimension; a LayerNorm over an image has three.
NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def param_groups(model: nn.Module, weight_decay: float = 1e-2, no_decay=()) -> list[dict]:
    """Two groups of ``model``'s trainable parameters, with their names: one decayed, one with ``weight_decay`` 0.

    Undecayed are scalars and vectors, biases, the parameters of norms (the convention of timm and transformers), and
    what ``no_decay`` says: a module class, a pattern of parameter names as in :mod:`fnmatch`, or an iterable of both:
    ``no_decay=(torch.nn.Embedding, "*.pos_embed")``. A tied parameter is undecayed if any of its owners says so.
    A group without parameters is left out.

    Raises TypeError for anything else, and ValueError for a pattern that no parameter matches, unless it is from a set:
    timm's ``model.no_weight_decay()`` names parameters that the model may lack.
    """
    choices = _choices(no_decay)
    classes = (*NORMS, *(choice for choice in choices if isinstance(choice, type)))
    patterns = [choice for choice in choices if isinstance(choice, str)]
    owners = _owners(model)
    if not isinstance(no_decay, set | frozenset):
        _check_patterns(patterns, [name for found in owners.values() for name, _ in found])
    decayed, undecayed = [], []
    for p, found in owners.items():
        spared = p.dim() < 2 or any(_is_spared(name, module, classes, patterns) for name, module in found)
        (undecayed if spared else decayed).append((found[0][0], p))
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _choices(no_decay):
    """Every class and pattern that was given, alone or in an iterable."""
    several = isinstance(no_decay, Iterable) and not isinstance(no_decay, str | type)
    choices = list(no_decay) if several else [no_decay]
    for choice in choices:
        if not isinstance(choice, str | type):
            raise TypeError(
                f"Invalid no_decay: {choice!r}; it must be a module class, a pattern of parameter names, or several"
            )
    return choices


def _owners(model):
    """The (name, module) pairs that every trainable parameter is known under; tied ones have several."""
    owners: dict[torch.Tensor, list] = {}
    for prefix, module in model.named_modules():
        for name, p in module.named_parameters(prefix, recurse=False):
            if p.requires_grad:
                owners.setdefault(p, []).append((name, module))
    return owners


def _is_spared(name, module, classes, patterns):
    is_bias = name.rpartition(".")[2] == "bias"
    return is_bias or isinstance(module, classes) or any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_patterns(patterns, names):
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"no_decay: {pattern!r} matches no parameter; names are such as {', '.join(map(repr, names[:3]))}"
            )
