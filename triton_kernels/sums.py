"""Reductions: terms of a tile fold into partial sums, which a launch of their own adds up in a fixed order."""

from dataclasses import dataclass

import triton
import triton.language as tl

from .math import VOCABULARY
from .tiles import extent, locate, pointer

BAND = 128  # rows a program walks at least, so that sums down the columns are few
RESULTS = 32  # that a program of `finish` makes

_BAND, _RESULTS = tl.constexpr(BAND), tl.constexpr(RESULTS)
_maximum = VOCABULARY["maximum"]


@dataclass(frozen=True)
class Sum:
    """A reduction along rows, down columns ("row", "col") or over all ("tensor"), by way of ``partials``.

    Maxima are of values that are not negative, so that every reduction starts from 0.
    """

    along: str
    is_max: bool
    partials: int
    result: int


@triton.jit
def joined(a, b, SUM: tl.constexpr):
    return _maximum(a, b) if SUM.is_max else a + b


@triton.jit
def folded(x, AXIS: tl.constexpr, SUM: tl.constexpr):
    if not SUM.is_max:
        return tl.sum(x, AXIS, keep_dims=True)
    holds_nan = tl.max((x != x).to(tl.int32), AXIS, keep_dims=True) > 0  # tl.max of values drops NaN
    return tl.where(holds_nan, float("nan"), tl.max(x, AXIS, keep_dims=True))


@triton.jit
def finish(table, chunks, scratch, places, S: tl.constexpr):
    """Adds partial sums in a fixed order, in fp64; one program for RESULTS results of one sum."""
    memory, index = locate(table, chunks, scratch, places, S)
    for i in tl.static_range(len(S.row_sums)):
        if tl.program_id(1) == i:
            _finish(memory, index, S.row_sums[i], S)
    for i in tl.static_range(len(S.sums)):
        if tl.program_id(1) == len(S.row_sums) + i:
            _finish(memory, index, S.sums[i], S)


@triton.jit
def _finish(memory, index, SUM: tl.constexpr, S: tl.constexpr):
    HEIGHT: tl.constexpr = 1 if SUM.along == "tensor" else _RESULTS
    TERMS: tl.constexpr = 1024 // HEIGHT
    results, count, stride, size = _partials(memory.words, SUM, S)
    lanes = index * HEIGHT + tl.arange(0, HEIGHT)[:, None]
    first = pointer(memory, SUM.partials, S.arithmetic) + lanes // stride * stride * count + lanes % stride
    total = tl.zeros((HEIGHT, TERMS), tl.float64)
    for k in range(0, count, TERMS):
        terms = k + tl.arange(0, TERMS)[None, :]
        x = tl.load(first + terms * stride, (lanes < results) & (terms < count), 0).to(tl.float64)
        total = joined(total, x, SUM)
    total = folded(total, 1, SUM)
    if not SUM.is_max:
        total = total / size.to(tl.float64)
    tl.store(pointer(memory, SUM.result, S.arithmetic) + lanes, total.to(S.arithmetic), lanes < results)


@triton.jit
def _partials(words, SUM: tl.constexpr, S: tl.constexpr):
    """The number of results; that of partial sums for each, and how far apart they are; how many terms a result has."""
    batch, rows, cols = extent(words, S.domain)
    bands, blocks = tl.cdiv(rows, max(_BAND, S.tile[1])), tl.cdiv(cols, S.tile[2])
    one = tl.full((), 1, tl.int64)
    if SUM.along == "row":
        return batch * rows, blocks, one, cols
    elif SUM.along == "col":
        return batch * cols, bands, cols, rows
    else:
        return one, tl.cdiv(batch, S.tile[0]) * bands * blocks, one, batch * rows * cols
