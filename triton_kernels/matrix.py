"""The sweep: a kernel of ``rule.stages`` over the tiles of many parameters, seen as matrices.

A loop over row values is a sweep over matrices of one column, and so on. A program walks down one band of rows;
``chunks`` holds pairs: a tensor, a program of that tensor.
"""

from dataclasses import dataclass

import triton
import triton.language as tl

from .math import narrow
from .step import L2, ROW, gradient, gradient_scale, stepped
from .sums import BAND, Sum, folded, joined
from .tiles import At, Value, elements, extent, is_inside, locate, offset, pointer, read, write

_BAND = tl.constexpr(BAND)


@dataclass(frozen=True, eq=False)  # compared by identity, which every launch does
class Sweep:
    """What a kernel reads and makes. ``moving`` values change down a column; ``written`` are stored again."""

    domain: str
    commits: bool
    whole: bool  # the text gives the new parameter itself
    reads_param: bool
    fixed: tuple[Value, ...]
    moving: tuple[Value, ...]
    written: tuple[Value, ...]
    outputs: tuple[Value, ...]
    row_sums: tuple[Sum, ...]
    sums: tuple[Sum, ...]
    columns: int  # of `places`
    tile: tuple[int, int, int]
    width: int  # elements of one access, of 16 bytes at most; every row is so many or a multiple
    types: tuple[tl.dtype, ...]  # of gradient, parameter and states
    arithmetic: tl.dtype


@triton.jit
def _tile(memory, row, at, scale, fixed, TEXT: tl.constexpr, S: tl.constexpr):
    """Computes a tile and writes what is known there; returns the terms of the sums."""
    moving = ()
    for i in tl.static_range(len(S.moving)):
        moving += (read(memory, row, at, S.moving[i], S),)
    if S.domain == "element":
        inside = is_inside(at, "element")
        g = tl.load(elements(memory, at, 0, S), inside, 0).to(S.arithmetic)
        wanted = inside
        if not (S.reads_param or S.commits):
            wanted &= tl.broadcast_to(tl.load(row + L2), inside.shape) != 0
        p = tl.load(elements(memory, at, 1, S), wanted, 0).to(S.arithmetic)
        g = gradient(g, p, row, scale)
        results = TEXT(g, p, *fixed, *moving)
    else:
        results = TEXT(*fixed, *moving)
    if S.commits:
        p = stepped(p, results[0], g, row, S.whole)
        tl.store(elements(memory, at, 1, S), narrow(p, S.types[1]), inside)
        results = results[1:]
    for i in tl.static_range(len(S.written)):
        write(results[i], memory, at, S.written[i], S)
    results = results[len(S.written) :]
    for i in tl.static_range(len(S.outputs)):
        write(results[i], memory, at, S.outputs[i], S)
    return results[len(S.outputs) :]


@triton.jit
def _walk(memory, row, index, coefficient, TEXT: tl.constexpr, S: tl.constexpr, ALIGNED: tl.constexpr):
    """Steps one band: sums along rows are stored tile by tile, the others' terms are gathered lane by lane."""
    HEIGHT: tl.constexpr = max(_BAND, S.tile[1])
    WIDTH: tl.constexpr = S.width
    batch, rows, cols = extent(memory.words, S.domain)
    stride = tl.multiple_of(extent(memory.words, S.domain)[2], WIDTH)
    bands, blocks = tl.cdiv(rows, HEIGHT), tl.cdiv(cols, S.tile[2])
    band, block = index // blocks % bands, index % blocks
    m = index // (bands * blocks) * S.tile[0] + tl.arange(0, S.tile[0])[:, None, None]
    left, c = block * S.tile[2], tl.max_contiguous(tl.arange(0, S.tile[2]), WIDTH)[None, None, :]
    end = (stride if ALIGNED else cols) - left
    scale = gradient_scale(row, coefficient, S.arithmetic)
    fixed = ()
    for i in tl.static_range(len(S.fixed)):
        fixed += (read(memory, row, At(m, band, left, c, batch, rows, stride, end), S.fixed[i], S),)
    sums = ()
    for _ in tl.static_range(len(S.sums)):
        sums += (tl.zeros(S.tile, S.arithmetic),)
    for top in range(band * HEIGHT, min(rows, (band + 1) * HEIGHT), S.tile[1]):
        at = At(m, top + tl.arange(0, S.tile[1])[None, :, None], left, c, batch, rows, stride, end)
        terms = _tile(memory, row, at, scale, fixed, TEXT, S)
        _store_row_sums(terms, memory, at, blocks, block, S)
        sums = _gathered(sums, terms[len(S.row_sums) :], is_inside(at, S.domain), S)
    _store_sums(sums, memory, At(m, band, left, c, batch, bands, stride, end), index, S)


@triton.jit
def _store_row_sums(terms, memory, at, blocks, block, S: tl.constexpr):
    inside = is_inside(at, S.domain)
    for i in tl.static_range(len(S.row_sums)):
        total = folded(tl.where(inside, terms[i], 0), 2, S.row_sums[i])
        partials = pointer(memory, S.row_sums[i].partials, S.arithmetic)
        tl.store(partials + offset(at, "row") * blocks + block, total, is_inside(at, "row"))


@triton.jit
def _gathered(sums, terms, inside, S: tl.constexpr):
    gathered = ()
    for i in tl.static_range(len(S.sums)):
        gathered += (tl.where(inside, joined(sums[i], terms[i], S.sums[i]), sums[i]),)
    return gathered


@triton.jit
def _store_sums(sums, memory, at, index, S: tl.constexpr):
    """Stores a band's sums; rows of ``at`` are bands."""
    for i in tl.static_range(len(S.sums)):
        partials = pointer(memory, S.sums[i].partials, S.arithmetic)
        if S.sums[i].along == "col":
            total = folded(sums[i], 1, S.sums[i])
            tl.store(partials + offset(at, "row") * at.cols + at.left + at.c, total, is_inside(at, "col"))
        else:
            tl.store(partials + index + tl.zeros((1, 1, 1), tl.int32), folded(sums[i], None, S.sums[i]))


@triton.jit(do_not_specialize=["columns"])
def sweep(table, chunks, scalars, columns, coefficient, scratch, places, TEXT: tl.constexpr, S: tl.constexpr):
    """One program a band of tiles. ``coefficient`` scales all gradients, or is None."""
    memory, index = locate(table, chunks, scratch, places, S)
    row = scalars + tl.load(memory.words + ROW).to(tl.int32).to(tl.int64) * columns
    if S.width == 1 or _is_aligned(memory.words, S):
        _walk(memory, row, index, coefficient, TEXT, S, True)
    else:
        _walk(memory, row, index, coefficient, TEXT, S, False)


@triton.jit
def _is_aligned(words, S: tl.constexpr):
    """Whether the addresses of all elements allow accesses of 16 bytes; rows are multiples of the width."""
    bits = tl.load(words) | tl.load(words + 1)
    for i in tl.static_range(len(S.moving)):
        if S.moving[i].shape == "element":
            bits |= tl.load(words + S.moving[i].place)
    return bits % 16 == 0
