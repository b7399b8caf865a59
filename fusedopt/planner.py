"""From an optimizer's groups to a program: which parameters step together, on which engine, with which scalars.

A program is made at the first step and remade when the set of gradients, a tensor, its dtype, layout or device, a step
count, a group's rule or the chosen backend changes. All that can fail is checked while planning, before any write.
"""

from dataclasses import dataclass, field

import torch

from . import backends
from .backends import native
from .layout import Staged, is_regular
from .rule import Rule
from .scalars import clip_coefficient, scalar_table
from .validation import check_gradient, check_state

STATE_FORMATS = {"param": None, "fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class Entry:
    """One parameter of a bucket, its state record, its row of the scalar table, and the tensors that engines walk.

    A regular gradient is looked up anew every step and never kept: ``zero_grad`` must free it.
    """

    owner: torch.Tensor
    record: dict
    keys: tuple[str, ...]
    row: int
    staged: Staged | None

    @property
    def param(self):
        return self.staged.param if self.staged else self.owner

    @property
    def grad(self):
        return self.staged.grad if self.staged else self.owner.grad

    @property
    def states(self):
        return self.staged.states if self.staged else [self.record[key] for key in self.keys]


@dataclass
class Bucket:
    """What one engine call covers: parameters that share rule, device and arithmetic dtype.

    ``rows[r]`` is ``[group index, t]`` with ``t`` the number of steps taken; entries with equal pairs share scalars.
    """

    rule: Rule
    device: torch.device
    dtype: torch.dtype
    counts_steps: bool
    capturable: bool
    entries: list[Entry] = field(default_factory=list)
    rows: list[list] = field(default_factory=list)

    def row_of(self, group_index, t):
        if [group_index, t] not in self.rows:
            self.rows.append([group_index, t])
        return self.rows.index([group_index, t])


class Program:
    """One optimizer's step: the engines that together cover every parameter with a gradient."""

    def __init__(self, optimizer):
        self.selected = backends.selected()
        self.rules = [optimizer.rule(group) for group in optimizer.param_groups]
        active, idle = _roster(optimizer)
        self.buckets = _buckets(optimizer, active)
        self.engines = [backends.engine_for(bucket) for bucket in self.buckets]
        staged = any(entry.staged for bucket in self.buckets for entry in bucket.entries)
        self.reusable = not staged and not native.missing
        self.roster = native.Roster(optimizer, idle) if self.reusable else None

    def is_current(self, optimizer):
        return (
            self.roster is not None
            and self.selected == backends.selected()
            and self.rules == [optimizer.rule(group) for group in optimizer.param_groups]
            and self.roster.unchanged(optimizer)
            and all(engine.refresh() for engine in self.engines)
        )

    def run(self, optimizer):
        tables = [scalar_table(optimizer, bucket) for bucket in self.buckets]
        coefficient = clip_coefficient(optimizer.param_groups, self.engines)
        for engine, table in zip(self.engines, tables, strict=True):
            engine.run(table, coefficient)
            engine.finish()


def _roster(optimizer):
    """Parameters to step, each with its group's index and a label for errors; and parameters without a gradient."""
    active, idle, position = [], [], 0
    seen = set()
    for index, group in enumerate(optimizer.param_groups):
        names = group.get("param_names")
        for i, p in enumerate(group["params"]):
            label = f"params[{position}]" + (f" ({names[i]!r})" if names else "")
            position += 1
            if id(p) in seen:
                continue  # torch warned of the duplicate; stepping one tensor twice at once would be a race
            seen.add(id(p))
            if p.grad is None:
                idle.append(p)
                continue
            check_gradient(optimizer, p, label)
            if p in optimizer.state:
                check_state(optimizer, p, optimizer.state[p], optimizer.rule(group).states, label)
            active.append((index, p))
    return active, idle


def _buckets(optimizer, active):
    buckets = {}
    for index, p in active:
        group = optimizer.param_groups[index]
        rule = optimizer.rule(group)
        record, t = _state(optimizer, group, rule, p)
        dtype = torch.float64 if p.dtype == torch.float64 else torch.float32
        capturable = group["capturable"] and p.device.type != "cpu"
        key = (rule.name, p.device, dtype, capturable)
        bucket = buckets.setdefault(key, Bucket(rule, p.device, dtype, optimizer.counts_steps, capturable))
        states = [record[name] for name in rule.states]
        staged = None if is_regular(p, p.grad, *states) else Staged.of(p, p.grad, states)
        bucket.entries.append(Entry(p, record, rule.states, bucket.row_of(index, t), staged))
    return list(buckets.values())


def _state(optimizer, group, rule, p):
    """The state record of ``p``, completed where it lacks something, and the number of steps it has taken."""
    if not rule.states and not optimizer.counts_steps:
        return {}, 0.0
    record = optimizer.state[p]
    if optimizer.counts_steps:
        device = p.device if group["capturable"] else torch.device("cpu")
        record["step"] = _step_count(record.get("step", 0), device)
    fresh = False
    for name in rule.states:
        if record.get(name) is None:
            dtype = STATE_FORMATS[group["state_format"]] or p.dtype
            record[name] = torch.zeros_like(p, dtype=dtype, memory_format=torch.preserve_format)
            fresh = True
    return record, float(record["step"]) if optimizer.counts_steps else float(not fresh)


def _step_count(step, device):
    """A step count as engines read it; old checkpoints hold plain numbers."""
    if isinstance(step, torch.Tensor) and step.device == device and step.dtype in (torch.float32, torch.float64):
        return step
    dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
    return torch.as_tensor(step, dtype=dtype, device=device)
