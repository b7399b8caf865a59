"""A rule of one's own: a plain function over the vocabulary of :mod:`fusedopt.math` becomes an optimizer class."""

import inspect
from collections.abc import Mapping

from . import registry
from .optimizer import DEFAULTS, Optimizer
from .rule import REGISTRY, Rule


def register_rule(states=None, *, lr=1e-3, weight_decay=0.0, scalars=None, matrix=None):
    """Decorates ``update(g, p, *states, *scalars)`` and makes it an optimizer class of that name.

    ``update`` returns the direction, followed by the new states; the engines write ``p - lr * direction``, and do all
    loading, storing, clipping and decay. It is straight-line maths over ``+ - * /``, comparisons and
    :mod:`fusedopt.math`, on one element's values. ``states`` gives every state's kind (:data:`fusedopt.rule.KINDS`) by
    its name in state dicts, in the function's order. Its other parameters are scalars: those with defaults are
    hyper-parameters of the class, the others come from ``scalars(group, t)``, called once a step with the step count
    from 1, in float64. ``lr`` and ``weight_decay`` are the class's defaults; decay is decoupled.
    ``matrix(p)`` says how a rule with row and column means sees a parameter (:mod:`fusedopt.matrix`); unless given, as
    its first dimension against all others.

    The class takes every option of :class:`fusedopt.optimizer.Options`, and :func:`fusedopt.create_optimizer` knows it.
    The eager and Triton engines run it at once, the C++ engine where a compiler is at hand.

    Raises TypeError for what is outside the language of rules, ValueError for a name that fusedopt uses itself or a
    scalar that nothing gives. A rule without states may be decorated without parentheses.
    """
    if inspect.isfunction(states):
        return register_rule()(states)
    if not isinstance(states, Mapping | None):
        raise TypeError(f"states is {states!r}; it must map names to kinds, such as {{'exp_avg': 'signed'}}")

    def decorate(update):
        _check_name(update.__name__)
        rule = Rule(update, states or {})
        hyperparameters = _defaults(update, rule, scalars)
        cls = _optimizer(rule, {"lr": lr, "weight_decay": weight_decay, **hyperparameters}, scalars, matrix)
        registry.CUSTOM[cls.__name__.lower()] = cls
        return cls

    return decorate


def _check_name(name):
    """Refuses a name that has a meaning already; one that was registered may be registered again."""
    taken = {
        "a rule": name in REGISTRY,
        "a building block": name.lower() in {**registry.PREFIXES, **registry.SUFFIXES},
        "an optimizer": name.lower() not in registry.CUSTOM and registry.is_known(name),
    }
    for what in (what for what, holds in taken.items() if holds):
        raise ValueError(f"the name {name!r} is that of {what} of fusedopt; choose another")


def _defaults(update, rule, scalars):
    """The hyper-parameters of a text by name; every scalar of it has a default or is computed."""
    given = {name: x.default for name, x in inspect.signature(update).parameters.items() if x.default is not x.empty}
    defaults = {name: given[name] for name in rule.scalars if name in given}
    if taken := [name for name in defaults if name in DEFAULTS]:
        raise ValueError(f"rule {rule.name}: its scalar {taken[0]!r} has the name of an option; rename it")
    computed = scalars({"lr": 1.0, "weight_decay": 0.0, **defaults}, 1.0) if scalars else {}
    for name in rule.scalars:
        if name not in defaults and name not in computed:
            raise ValueError(
                f"rule {rule.name}: nothing gives its scalar {name!r}; give it a default, or use scalars; "
                "or name it in states, if it is one"
            )
    rule.stages  # noqa: B018  raises TypeError for what is outside the language
    return defaults


def _optimizer(own, defaults, computed, view):
    class Custom(Optimizer):
        def __init__(self, params, lr=defaults["lr"], **options):
            options = {"decoupled_weight_decay": True, **options}
            hyperparameters = {name: options.pop(name, value) for name, value in defaults.items() if name != "lr"}
            super().__init__(params, options, lr=lr, **hyperparameters)

        def rule(self, group, p):
            return own

        def matrix(self, group, p):
            return view(p) if view else super().matrix(group, p)

        def scalars(self, group, t):
            given = {name: group[name] for name in own.scalars if name in group}
            return {**given, **(computed(group, t) if computed else {})}

    Custom.__name__ = Custom.__qualname__ = own.name
    Custom.__module__, Custom.__doc__ = own.update.__module__, own.update.__doc__
    return Custom
