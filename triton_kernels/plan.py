"""What is launched for a rule that sees matrices: kernels, their programs, and where values lie in scratch memory."""

import functools
from dataclasses import dataclass
from math import gcd
from typing import Any

import torch

from fusedopt.rule import KINDS
from fusedopt.trace import ALONG

from .math import function
from .matrix import Sweep
from .step import OWN, WORDS, triton_types, width
from .sums import BAND, RESULTS, Sum
from .tiles import Value

STATES, SCALARS, SCRATCH = 2, OWN.value, WORDS.value  # first columns of states, scalars and scratch memory
TILES = (
    *((1, 8, 128), (1, 1, 1024), (1, 128, 8), (1, 256, 4), (1, 1024, 1)),  # of one matrix
    *((16, 8, 8), (64, 4, 4), (128, 1, 8), (1024, 1, 1)),  # of several small ones
)
SECTOR = 8  # elements that memory moves together
AXES = {"element": (1, 1, 1), "row": (1, 1, 0), "col": (1, 0, 1), "matrix": (1, 0, 0), "tensor": (0, 0, 0)}
ELEMENTS = [kind for kind, shape in KINDS.items() if shape == "element" and kind != "sign"]
DOWN = ("row", "element", "sign")  # shapes of values that change down a column


@functools.cache
def places(stages):
    """The column of every value; a new state is made in place if no kernel reads the old one any more."""
    columns = {value: SCRATCH + i for i, value in enumerate(stages.temporaries)}
    columns |= {value: STATES + i for i, value in enumerate(stages.states)}
    columns |= {value: SCALARS + i for i, value in enumerate(stages.scalars)}
    for state, new in zip(stages.states, stages.new, strict=True):
        if new in stages.temporaries and columns[new] >= SCRATCH and not _is_read_after(stages, state, new):
            columns[new] = columns[state]
    return columns


def _is_read_after(stages, state, new):
    made = next(i for i, kernel in enumerate(stages.kernels) if new in (*kernel.outputs, *kernel.sums))
    return state in stages.new or any(state in stages.loads(kernel) for kernel in stages.kernels[made + 1 :])


def late(stages):
    """States that some kernel reads after their new value was made: their columns, and those of these values."""
    columns = places(stages)
    pairs = zip(stages.states, stages.new, strict=True)
    return [
        (columns[state], columns[new])
        for state, new in pairs
        if state.shape != "element" and columns[new] != columns[state]
    ]


@functools.cache
def described(rule, i, dtypes, tile, width, arithmetic):
    """The ``i``-th kernel of a rule as a Triton function, and what that reads and makes."""
    stages, kernel, columns = rule.stages, rule.stages.kernels[i], places(rule.stages)
    kinds = dict(zip(stages.states, rule.states.values(), strict=True))
    streams, uniforms = stages.arguments(kernel)
    shapes = {x: "sign" if kinds.get(x) == "sign" else x.shape for x in (*streams, *uniforms)}
    arguments = sorted(shapes, key=lambda x: shapes[x] in DOWN)
    sums = sorted(kernel.sums, key=lambda x: ALONG[x.reduction] != "row")
    values = [Value(columns[x], shapes[x]) for x in arguments]
    totals = [_sum(stages, x) for x in sums]
    sweep = Sweep(
        kernel.domain,
        kernel.commits,
        rule.whole,
        stages.inputs[1] in stages.loads(kernel),
        tuple(x for x in values if x.shape not in DOWN),
        tuple(x for x in values if x.shape in DOWN),
        tuple(values[arguments.index(x)] for x in stages.written(kernel)),
        tuple(Value(columns[x], x.shape) for x in kernel.outputs),
        tuple(x for x in totals if x.along == "row"),
        tuple(x for x in totals if x.along != "row"),
        len(stages.temporaries) + len(_all_sums(stages)),
        tile,
        width,
        triton_types(dtypes),
        *triton_types([arithmetic]),
    )
    return _function(rule, i, arguments, sums), sweep


def _all_sums(stages):
    return [value for kernel in stages.kernels for value in kernel.sums]


def _sum(stages, value):
    partials = SCRATCH + len(stages.temporaries) + _all_sums(stages).index(value)
    return Sum(ALONG[value.reduction], value.reduction.endswith("max"), partials, places(stages)[value])


def _function(rule, i, arguments, sums):
    """Returns direction and new elements if the kernel commits, its outputs, and the terms of ``sums``."""
    stages, kernel = rule.stages, rule.stages.kernels[i]
    results = stages.results(kernel)
    results[len(results) - len(sums) :] = [x.inputs[0] for x in sums]
    inputs = [*stages.inputs[:2], *arguments] if kernel.domain == "element" else arguments
    names = {x: x.name or f"{x.reduction or x.shape}{n}" for n, x in enumerate(inputs)}
    return function(f"{rule.name}_{i}", names, results, stages.names)


class Domain:
    """How a sweep over a domain is cut into programs, for every tensor of ``sizes``: matrices, rows, columns."""

    def __init__(self, name, sizes, by_eights):
        axes = torch.tensor(AXES[name], dtype=torch.bool, device="cpu")
        tiles = torch.tensor([tile for tile in TILES if not by_eights or tile[2] % 8 == 0], device="cpu")
        tiles = torch.where(axes, tiles, 1)
        self.extents = torch.where(axes, sizes, 1)
        self.tiles = tiles[_costs(self.extents.unsqueeze(1), tiles).argmin(1)]
        self.blocks = _cut(self.extents, self.tiles.clamp(min=torch.tensor([1, BAND, 1], device="cpu")))
        self.programs = torch.where(sizes.prod(1) > 0, self.blocks.prod(1), 0)

    def partials(self, along):
        """How many partial sums every tensor has."""
        (batch, rows, cols), (_, bands, blocks) = self.extents.T, self.blocks.T
        return {"row": batch * rows * blocks, "col": batch * bands * cols, "tensor": self.blocks.prod(1)}[along]

    def finishers(self, along):
        """How many programs add them up."""
        batch, rows, cols = self.extents.T
        results = {"row": batch * rows, "col": batch * cols, "tensor": torch.ones_like(batch)}[along]
        return torch.where(self.programs > 0, _cut(results, RESULTS), 0)


def _costs(extents, tiles):
    """How many tiles it takes, each as often as others move the same memory."""
    width = extents[..., 2].clamp(max=SECTOR)
    return _cut(extents, tiles).prod(2) * _cut(width, tiles[:, 2])


def _cut(sizes, parts):
    return (sizes + parts - 1) // parts


@dataclass
class Group:
    """A kernel over tensors that are alike: its arguments, and how many programs sweep, then add up, each tensor."""

    text: Any
    sweep: Sweep
    programs: torch.Tensor
    finishers: torch.Tensor

    @property
    def sums(self):
        return len(self.sweep.row_sums + self.sweep.sums)


class Plan:
    """The ``groups`` of one step, and scratch memory: its ``size``, and ``places`` of every tensor's values in it."""

    def __init__(self, rule, dtypes, matrices, arithmetic):
        self.rule, self.dtypes, self.matrices, self.arithmetic = rule, dtypes, matrices, arithmetic
        sizes = torch.tensor([(m.batch, m.rows, m.cols) for m in matrices], device="cpu")
        signs = "sign" in rule.states.values()
        self.domains = {name: Domain(name, sizes, signs and name == "element") for name in AXES}
        self.places, self.size = self._scratch(rule.stages)
        self.groups = [group for i in range(len(rule.stages.kernels)) for group in self._groups(i)]

    def copy_late(self, entries, scratch):
        """Copies the new states that no kernel could write over the old ones."""
        pairs = late(self.rule.stages)
        for entry, starts in zip(entries, self.places.tolist(), strict=True):
            if not pairs or entry.param.numel() == 0:
                continue
            values = {place: scratch[start:] for place, start in enumerate(starts, SCRATCH)}
            values |= dict(enumerate(entry.states, STATES))
            new = [values[place].flatten()[: values[old].numel()].clone() for old, place in pairs]  # perhaps a state
            for (old, _), value in zip(pairs, new, strict=True):
                values[old].copy_(value.view_as(values[old]))

    def _scratch(self, stages):
        """A column for every value made, then for every sum's partial sums, which live no longer than their kernel."""
        columns, size = [], 0
        for value in stages.temporaries:
            size = _stack(columns, size, self.domains[value.shape].extents.prod(1))
        end = size
        for kernel in stages.kernels:
            start = size
            for value in kernel.sums:
                start = _stack(columns, start, self.domains[kernel.domain].partials(ALONG[value.reduction]))
            end = max(end, start)
        return torch.stack(columns or [torch.zeros(len(self.matrices), dtype=torch.int64, device="cpu")], 1), end

    def _groups(self, i):
        kernel = self.rule.stages.kernels[i]
        domain = self.domains[kernel.domain]
        finishers = [domain.finishers(ALONG[x.reduction]) for x in kernel.sums]
        most = functools.reduce(torch.maximum, finishers, torch.zeros_like(domain.programs))
        tensors = zip(self.matrices, self.dtypes, domain.tiles.tolist(), strict=True)
        kinds = [self._kind(kernel.domain, *tensor) for tensor in tensors]
        for kind in dict.fromkeys(kinds):
            own = torch.tensor([kind == other for other in kinds], device="cpu")
            text, sweep = described(self.rule, i, *kind, self.arithmetic)
            yield Group(text, sweep, domain.programs * own, most * own)

    def _kind(self, domain, matrix, dtypes, tile):
        """What tensors must share to be swept together: dtypes, the tile, and elements per access."""
        if domain != "element":
            return (), tuple(tile), 1
        elements = [0, 1, *(STATES + i for i, kind in enumerate(self.rule.states.values()) if kind in ELEMENTS)]
        return dtypes, tuple(tile), gcd(width([dtypes[place] for place in elements]), matrix.cols, tile[2])


def _stack(columns, start, counts):
    columns.append(start + counts.cumsum(0) - counts)
    return start + int(counts.sum())
