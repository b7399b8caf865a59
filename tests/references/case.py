"""A row of the table: an optimizer, its options, and what it must equal."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Case:
    cls: Callable
    options: dict = field(default_factory=dict)
    reference: type | None = None  # default: the class of the same name in torch.optim
    reference_options: dict | None = None  # default: the same options

    def __str__(self):
        return "-".join([self.cls.__name__, *(f"{k}={v}" for k, v in self.options.items())])

    @property
    def sums(self):
        """Whether engines may differ from eager by the order in which they add; a maximum has no order."""
        params = [torch.zeros(shape) for shape in ((6,), (4, 3))]
        optimizer = self.build(params)
        rules = [optimizer.layout(optimizer.param_groups[0], p)[0] for p in params]
        return any("mean" in (x.reduction or "") for rule in rules for x in rule.stages.temporaries)

    def build(self, params, **more):
        """The optimizer; the case's own options win over ``more``."""
        return self.cls(params, **{**more, **self.options})

    @property
    def reference_class(self):
        return self.reference or getattr(torch.optim, self.cls.__name__)

    def build_reference(self, params):
        return self.reference_class(
            params, **(self.options if self.reference_options is None else self.reference_options)
        )
