"""From an optimizer's groups to a program: which parameters step together, on which engine, with which scalars.

A program is made at the first step and remade when the set of gradients, a tensor, its dtype, layout or device, a step
count, a group's rule or the chosen backend changes. All that can fail is checked while planning, before any write.
"""

import operator
from dataclasses import dataclass, field
from typing import Any

import torch

from . import backends
from .backends import native
from .blocks import STATES
from .codecs import Codec, Stored, stream_key
from .layout import Staged, is_regular
from .matrix import Matrix, one_row
from .resting import rest, without_slow_weights
from .rule import Rule
from .scalars import gradient_coefficient, scalar_table, sizes, with_measured
from .state import RESIDUAL, arithmetic, needs_step, record_of, scale_key, state_codec, weight_codec
from .telemetry import Telemetry
from .validation import (
    check_gradient,
    check_options,
    check_parameter,
    check_sparse,
    check_state,
    check_weight_format,
    labelled,
)


@dataclass
class Entry:
    """One parameter of a bucket, its state record, its row of the scalar table, and the tensors that engines walk.

    A regular gradient is looked up anew every step and never kept: ``zero_grad`` must free it.
    """

    owner: torch.Tensor
    record: dict
    keys: tuple[str, ...]
    codecs: list[Codec | None]  # of the parameter, then of the states; None for what is stored as plain numbers
    matrix: Matrix
    steps: float  # taken when planned
    seed: int  # the parameter's place in the optimizer
    staged: Staged | None
    row: int = 0

    @property
    def param(self):
        return self.staged.param if self.staged else self.owner

    @property
    def grad(self) -> Any:
        return self.staged.grad if self.staged else self.owner.grad

    @property
    def states(self):
        return self.staged.states if self.staged else [self.record[key] for key in self.keys]

    @property
    def side_keys(self):
        """Where in the record stands what the codecs keep on the side; None for those that keep nothing."""
        keys = (RESIDUAL, *map(scale_key, self.keys))
        return [key if codec and codec.side else None for key, codec in zip(keys, self.codecs, strict=True)]

    @property
    def sides(self):
        sides = [key and self.record[key] for key in self.side_keys]
        return [self.staged.residual if self.staged else sides[0], *sides[1:]]

    def decode(self):
        """Steps plain copies of what is in a codec, for an engine that reads none; staged again in every step."""
        staged = self.staged or Staged([], self.param, self.sides[0], self.grad, self.states)
        staged.decode([self.stored(i, int(self.steps) + 1) for i in range(len(self.codecs))])
        self.staged, self.codecs = staged, [None] * len(self.codecs)

    def value(self, i):
        """The parameter (0) or a state, decoded."""
        stored = self.stored(i, 0)
        return stored.read() if stored else (self.param, *self.states)[i]

    def stored(self, i, t):
        """The parameter (0) or a state at step ``t``, or None if it is stored as plain numbers."""
        if not (codec := self.codecs[i]):
            return None
        tensor = (self.param, *self.states)[i]
        return Stored(tensor, self.sides[i], codec, self.matrix.cols, stream_key(t, self.seed, i + 1))


@dataclass
class ScalarRow:
    """What decides the scalars of a step: group, steps taken, and constants of the parameter; equal ones are shared."""

    group: int
    steps: float
    constants: dict


@dataclass
class Bucket:
    """What one engine call covers: parameters that share rule, device and arithmetic dtype."""

    rule: Rule
    device: torch.device
    dtype: torch.dtype
    counts_steps: bool
    capturable: bool
    entries: list[Entry] = field(default_factory=list)
    rows: list[ScalarRow] = field(default_factory=list)

    def add(self, entry, row):
        if row not in self.rows:
            self.rows.append(row)
        entry.row = self.rows.index(row)
        self.entries.append(entry)


class Program:
    """One optimizer's step: the engines that together cover every parameter with a gradient.

    Parameters that must be staged are planned anew each step, as their copies must be; the others are planned once.
    """

    def __init__(self, optimizer):
        self.selected = backends.selected()
        self.read = operator.itemgetter(*(key for key in optimizer.defaults if key != "lr"))
        self.options = self._options(optimizer)
        members, self.idle = _roster(optimizer)
        self.samples = {(m.group, m.rule.name, m.param.dim()): m for m in members}.values()
        entries = [(_entry(optimizer, member), member) for member in members]
        self.staged = [member for entry, member in entries if entry.staged]
        self.engines = _engines(optimizer, [pair for pair in entries if not pair[0].staged])
        self.resting = [_resting(optimizer, engine) for engine in self.engines]
        self.roster = None

    def is_current(self, optimizer):
        return (
            self.roster is not None
            and self.selected == backends.selected()
            and self._is_asked_for(optimizer)
            and self.roster.unchanged(optimizer)
            and all(member.param.grad is not None for member in self.staged)
            and all(engine.refresh() for engine in self._due(optimizer))
        )

    def _due(self, optimizer):
        """The engines of this step: those without slow weights where these rest."""
        pairs = zip(self.engines, self.resting, strict=True)
        return [few if few and rest(optimizer, few.bucket) else engine for engine, few in pairs]

    def _is_asked_for(self, optimizer):
        """Whether the groups' options still ask for this plan; looks closer only where they are other objects."""
        groups = zip(self.options, map(self.read, optimizer.param_groups), strict=False)
        if all(all(map(operator.is_, old, new)) for old, new in groups):
            return True
        _check_groups(optimizer)
        if held := all(member.is_current(optimizer) for member in self.samples):
            self.options = self._options(optimizer)
        return held

    def _options(self, optimizer):
        """Every group's options as they were read; tensors and lists, which may change in place, count as changed."""
        groups = map(self.read, optimizer.param_groups)
        return [[object() if isinstance(x, torch.Tensor | list) else x for x in options] for options in groups]

    def run(self, optimizer, scale):
        for member in self.staged:
            member.check(optimizer)
        staged = [(_entry(optimizer, member), member) for member in self.staged]
        staged = _engines(optimizer, staged)
        engines = self._due(optimizer) + staged
        tables = [scalar_table(optimizer, engine.bucket) for engine in engines]
        coefficient = gradient_coefficient(optimizer.param_groups, engines, scale)
        measured = optimizer.measured(engines, tables, coefficient)
        tables = [with_measured(table, engine.bucket, measured) for table, engine in zip(tables, engines, strict=True)]
        if self.roster is None:
            self._commit(optimizer, self.engines + staged)
        watched = any(group["telemetry"] for group in optimizer.param_groups)
        optimizer.telemetry = {}
        for engine, table in zip(engines, tables, strict=True):
            if watched:
                owners, seen = engine.owners, engine.observe(table, coefficient).tolist()
                optimizer.telemetry |= {p: Telemetry.of(row) for p, row in zip(owners, seen, strict=True)}
            else:
                engine.run(table, coefficient)
            engine.finish()

    def _commit(self, optimizer, engines):
        """Adopts new state records: only now, as everything that can fail has been done."""
        for engine in engines:
            for entry in engine.bucket.entries:
                if entry.record:
                    optimizer.state[entry.owner] = entry.record
                kept = optimizer.state.get(entry.owner, {})
                for key in STATES.difference(engine.bucket.rule.states):
                    kept.pop(key, None)  # of a block that was switched off: it begins anew
        if not native.missing:
            self.roster = native.Roster(optimizer, self.idle)


@dataclass
class Member:
    """A parameter with a gradient, where it stands, what errors call it, and how it is to be stepped."""

    param: torch.Tensor
    group: int
    label: str
    seed: int
    counts_steps: bool
    rule: Rule
    matrix: Matrix
    formats: tuple = ()  # what the group asked for when this was planned

    def is_current(self, optimizer):
        """Whether the group's options still ask for this rule, matrix and storage."""
        group = optimizer.param_groups[self.group]
        return (self.rule, self.matrix, self.formats) == (*optimizer.layout(group, self.param), _formats(group))

    def check(self, optimizer):
        check_options(optimizer.param_groups[self.group])
        check_parameter(optimizer, self.param, self.label)
        check_gradient(optimizer, self.param, self.label)
        if self.param.grad is not None and self.param.grad.layout == torch.sparse_coo:
            check_sparse(optimizer, self)
        if self.param in optimizer.state:
            check_state(optimizer, self, optimizer.state[self.param])


def _formats(group):
    return group["state_format"], group["state_rounding"], group["weight_format"]


def _check_groups(optimizer):
    """Refuses options that were changed in place to what a constructor would refuse."""
    for group in optimizer.param_groups:
        check_options(group)
        optimizer.refuse(group)


def _roster(optimizer):
    """Checked parameters to step, and parameters without a gradient."""
    members, idle, seen = [], [], set()
    _check_groups(optimizer)
    for seed, (index, p, label) in enumerate(labelled(optimizer.param_groups)):
        if id(p) in seen:
            continue  # torch warned of the duplicate; stepping one tensor twice at once would be a race
        seen.add(id(p))
        if p.grad is None:
            idle.append(p)
            continue
        group = optimizer.param_groups[index]
        check_weight_format(group, p, label)
        rule, matrix = optimizer.layout(group, p)
        counts_steps = optimizer.counts_steps or needs_step(rule, p, group)
        members.append(Member(p, index, label, seed, counts_steps, rule, matrix, _formats(group)))
        members[-1].check(optimizer)
    return members, idle


def _entry(optimizer, member):
    p, rule, group = member.param, member.rule, optimizer.param_groups[member.group]
    weight = weight_codec(p, group)
    keeps_state = rule.states or member.counts_steps or weight
    record, steps = record_of(optimizer, member) if keeps_state else ({}, 0.0)
    states = {name: record[name] for name in rule.states}
    codecs = [weight, *(state_codec(record, name, kind, group) for name, kind in rule.states.items())]
    elements = [state for name, state in states.items() if state.shape == p.shape and rule.shapes[name] == "element"]
    residual = record[RESIDUAL] if weight and weight.side else None
    if p.grad.layout == torch.sparse_coo:
        staged = Staged.of_rows(p, p.grad, list(states.values()))
        return Entry(p, record, tuple(rule.states), codecs, one_row(staged.param), steps, member.seed, staged)
    regular = is_regular(p, p.grad, *elements, row_major=rule.sees_matrices)
    staged = None if regular else Staged.of(p, p.grad, list(states.values()), residual, rule.sees_matrices)
    entry = Entry(p, record, tuple(rule.states), codecs, member.matrix, steps, member.seed, staged)
    if not backends.engine_class(p.device, rule, arithmetic(p)).reads(rule, codecs):
        entry.decode()
    return entry


def _engines(optimizer, entries):
    buckets = {}
    for entry, member in entries:
        p, rule = member.param, member.rule
        group = optimizer.param_groups[member.group]
        dtype = arithmetic(p)
        capturable = group["capturable"] and p.device.type != "cpu"
        key = (rule, p.device, dtype, member.counts_steps, capturable)
        bucket = buckets.setdefault(key, Bucket(rule, p.device, dtype, member.counts_steps, capturable))
        constants = {**sizes(rule, member.matrix, p), **optimizer.constants(group, p)}
        bucket.add(entry, ScalarRow(member.group, entry.steps, constants))
    return [_engine(bucket) for bucket in buckets.values()]


def _engine(bucket):
    return backends.engine_class(bucket.device, bucket.rule, bucket.dtype)(bucket)


def _resting(optimizer, engine):
    """An engine for the steps in which slow weights rest, if there are any."""
    bucket = without_slow_weights(optimizer, engine.bucket)
    return bucket and _engine(bucket)
