"""What the planner asks of an engine."""

import math
from abc import ABC, abstractmethod

import torch

from .. import telemetry
from ..codecs import Dynamic


class Engine(ABC):
    """One bucket bound to one engine."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.owners = [entry.owner for entry in bucket.entries]
        self.staged = [entry.staged for entry in bucket.entries if entry.staged]

    @staticmethod
    @abstractmethod
    def unavailable(device) -> str | None:
        """Why this engine cannot run on ``device``, or None."""

    @staticmethod
    def refusal(rule, dtype) -> str | None:
        """Why it cannot run this rule in arithmetic of ``dtype``, or None; C++ engines run what is compiled."""
        return None

    @staticmethod
    def reads(rule, codecs) -> bool:
        """Whether it steps parameters and states in these codecs (None for plain ones) as they are."""
        return not any(codecs) or not (rule.sees_matrices or any(isinstance(x, Dynamic) for x in codecs))

    @abstractmethod
    def refresh(self) -> bool:
        """Reads the tensors of this step; False when they are no longer those that were planned."""

    @abstractmethod
    def sum_squares(self) -> torch.Tensor:
        """Sum of the squared gradients, a 0-dim float64 tensor on the bucket's device, summed in a fixed order."""

    @abstractmethod
    def run(self, table, coefficient) -> None:
        """Updates parameters and state.

        ``table`` is the (rows, scalars) float64 table of the step; ``coefficient`` a 0-dim float64 tensor that every
        gradient is multiplied by, or None.
        """

    def observe(self, table, coefficient) -> torch.Tensor:
        """Does what ``run`` does, and tells what it did: an (entries, 5) float64 tensor on the CPU, norms squared.

        This one reads and copies more than ``run``, and counts no codes.
        """
        before = [entry.param.clone() for entry in self.bucket.entries]
        self.run(table, coefficient)
        rows = [
            telemetry.row(
                telemetry.square(entry.grad),
                telemetry.square(entry.param.double() - p.double()),
                math.nan,
                math.nan,
                telemetry.nonfinite(entry.grad),
            )
            for entry, p in zip(self.bucket.entries, before, strict=True)
        ]
        return torch.stack(rows)

    def advance(self):
        """Counts the step, in every parameter's ``step``."""
        if self.bucket.counts_steps:
            torch._foreach_add_([entry.record["step"] for entry in self.bucket.entries], 1)

    def finish(self):
        self.advance()
        for row in self.bucket.rows:
            row.steps += 1
        for staged in self.staged:
            staged.write_back()
        torch.autograd.graph.increment_version(self.owners)
