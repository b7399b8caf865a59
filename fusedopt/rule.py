"""What a rule is: one paper's maths as a plain function, and the state it keeps."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .stages import Stages

REGISTRY: dict[str, "Rule"] = {}  # those of fusedopt/rules, by name
MAX_STATES = 8  # kMaxStreams of csrc/row.h, less gradient and parameter

# What a state may be, and the shape that the text sees. "signed" and "positive" may be compressed, a "bound" not, and
# what is "exact" is not even rounded to 16 bits. "sign" is one bit an element: it reads as 1 or -1, and stores whether
# the new value is above zero.
# A "copy" is exact and begins as the parameter.
KINDS = {
    **dict.fromkeys(("signed", "positive", "bound", "exact", "copy", "sign"), "element"),
    **{shape: shape for shape in ("row", "col", "matrix", "tensor")},
}


@dataclass(frozen=True, eq=False)
class Rule:
    """The maths of one update, read by every engine.

    ``update(g, p, *states, *scalars)`` returns the direction ``u`` followed by the new states; the engine then writes
    ``p - lr * u``. ``g``, ``p`` and elementwise states are one element's values in the arithmetic type; row and column
    states those of the element's row and column. The scalars are computed once per step on the host. ``states`` gives
    the kind of every state (KINDS) by its name in state dicts, in the function's order. A ``whole`` rule returns the
    new parameter in place of a direction. ``divide`` may be a keyword-only parameter, for another denominator
    (:mod:`fusedopt.blocks`).
    """

    update: Callable
    states: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    scalars: tuple[str, ...] = field(init=False)

    def __post_init__(self):
        names = positional(self.update)
        if names[:2] != ("g", "p"):
            raise TypeError(f"rule {self.name}: the first two parameters must be g and p, not {names[:2]}")
        if len(self.states) > MAX_STATES:
            raise ValueError(f"rule {self.name}: {len(self.states)} states; engines carry at most {MAX_STATES}")
        if not KINDS.keys() >= set(self.states.values()):
            raise ValueError(f"rule {self.name}: its states are {dict(self.states)}; kinds are {', '.join(KINDS)}")
        object.__setattr__(self, "scalars", names[2 + len(self.states) :])
        if self.module and REGISTRY.setdefault(self.name, self) is not self:
            raise ValueError(f"rule {self.name}: fusedopt.rules.{REGISTRY[self.name].module} has one of this name")

    @property
    def name(self) -> str:
        return self.update.__name__

    @property
    def module(self) -> str | None:
        """The module of fusedopt.rules that the rule is from; None for a user's, and for one with building blocks."""
        package, _, name = self.update.__module__.rpartition(".")
        return name if package == "fusedopt.rules" else None

    @functools.cached_property
    def stages(self) -> Stages:
        """The rule's kernels; one, for a rule without reductions."""
        return Stages(self)

    @property
    def shapes(self) -> dict[str, str]:
        """The shape of every state, as the text sees it."""
        return {name: KINDS[kind] for name, kind in self.states.items()}

    @property
    def state_parameters(self) -> tuple[str, ...]:
        return positional(self.update)[2 : 2 + len(self.states)]

    @functools.cached_property
    def sees_matrices(self) -> bool:
        """Whether the text tells rows and columns apart, or sums; else it sees one long row."""
        kernels = self.stages.kernels
        return len(kernels) > 1 or bool(kernels[0].sums) or set(self.shapes.values()) - {"element"} != set()


def positional(function):
    """The names of a text's inputs."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(x.name for x in parameters if x.kind is not inspect.Parameter.KEYWORD_ONLY)


def takes(rule, keyword):
    """Whether the rule leaves a part of its text open (:mod:`fusedopt.denominators`)."""
    return keyword in inspect.signature(rule.update).parameters


def composed(update, like, suffix, parameters, states, whole=False, module=None):
    """A rule whose ``update`` was built from that of ``like``; ``parameters`` names its arguments after g and p.

    Its C++ text stands with that of ``like``, unless ``module`` says otherwise.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    update.__name__, update.__module__ = f"{like.name}_{suffix}", module or like.update.__module__
    update.__signature__ = inspect.Signature([inspect.Parameter(x, kind) for x in ("g", "p", *parameters)])
    return Rule(update, states, whole)


def averaged(rule):
    """``rule`` with the running average of its direction as direction: state ``exp_avg``, scalars beta1 and rate1."""

    def update(g, p, m, *rest):
        *rest, beta1, rate1 = rest
        u, *states = rule.update(g, p, *rest)
        m = beta1 * m + rate1 * u
        return m, m, *states

    parameters = ("m", *rule.state_parameters, *rule.scalars, "beta1", "rate1")
    return composed(update, rule, "momentum", parameters, {"exp_avg": "signed", **rule.states})
