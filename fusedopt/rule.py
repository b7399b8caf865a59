"""What a rule is: one paper's maths as a plain function, and the state it keeps."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

REGISTRY: dict[str, "Rule"] = {}
MAX_STATES = 6  # kMaxStreams of csrc/row.h, less gradient and parameter


@dataclass(frozen=True)
class Rule:
    """The maths of one update, read by every engine.

    ``update(g, p, *states, *scalars)`` returns the direction ``u`` followed by the new states; the engine then writes
    ``p - lr * u``. ``g``, ``p`` and the states are one element's values in the arithmetic type, the scalars are
    computed once per step on the host. ``states`` names the state tensors in the function's order.
    """

    update: Callable
    states: tuple[str, ...] = ()
    scalars: tuple[str, ...] = field(init=False)

    def __post_init__(self):
        names = tuple(inspect.signature(self.update).parameters)
        if names[:2] != ("g", "p"):
            raise TypeError(f"rule {self.name}: the first two parameters must be g and p, not {names[:2]}")
        if len(self.states) > MAX_STATES:
            raise ValueError(f"rule {self.name}: {len(self.states)} states; engines carry at most {MAX_STATES}")
        object.__setattr__(self, "scalars", names[2 + len(self.states) :])
        REGISTRY[self.name] = self

    @property
    def name(self) -> str:
        return self.update.__name__
