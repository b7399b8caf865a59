"""The generic step, one launch that applies one rule with all modifiers to many tensors, and the sum of squares.

``table`` holds 25 64-bit words a tensor, as ``csrc/row.h`` lays them out: the addresses of gradient, parameter and
states, then of what their codecs keep on the side; the numbers of elements, rows and columns; the codecs; the row of
the scalar table, and above it the seed. ``chunks`` holds pairs: a tensor, a chunk of that tensor.
"""

import functools

import triton
import triton.language as tl

from fusedopt import modifiers
from fusedopt.scalars import HEADER

from .codecs import SIDE, place, read, stream, tile_at, triton_type, write
from .math import bind, rule_function

NUM_WARPS = 4
BLOCK = 8 * 32 * NUM_WARPS  # 8 elements a thread are 16 bytes of bf16; 16 would spill AMSGrad in fp64
OPTIONS = {"num_warps": NUM_WARPS, "enable_fp_fusion": False}

WORDS, NUMEL, ROWS, COLS, ROW = (tl.constexpr(i) for i in (25, 20, 21, 22, 24))
_BLOCK, _PART = tl.constexpr(BLOCK), tl.constexpr(BLOCK // 4)
_LR, _DECAY, L2, _SIGN, _CAUTIOUS, _STEP, OWN = (
    tl.constexpr((*HEADER, "own").index(name))
    for name in ("lr", "decay", "l2", "gradient_sign", "cautious", "step", "own")
)
_l2, _cautious, _decoupled = map(bind, (modifiers.l2, modifiers.cautious, modifiers.decoupled))


@functools.cache
def constants(rule, streams):
    """The compile-time arguments of :func:`step` for dtypes and codecs: pairs, of gradient, parameter and states."""
    return {
        "RULE": rule_function(rule),
        "STREAMS": tuple(stream(i, *how) for i, how in enumerate(streams)),
        "SCALARS": len(rule.scalars),
        "WHOLE": rule.whole,
        "WIDTH": width([dtype for dtype, _ in streams]),
    }


def triton_types(dtypes):
    return tuple(map(triton_type, dtypes))


def width(dtypes):
    """Elements of one access, of which none is wider than 16 bytes."""
    return 16 // max(dtype.itemsize for dtype in dtypes)


@triton.jit
def _locate(table, chunks):
    pair = chunks + 2 * tl.program_id(0).to(tl.int64)
    words = table + tl.load(pair).to(tl.int64) * WORDS
    start = tl.load(pair + 1).to(tl.int64) * _BLOCK
    return words, start, tl.load(words + NUMEL)


@triton.jit
def _is_aligned(words, STREAMS: tl.constexpr):
    """Whether every address allows accesses of 16 bytes."""
    bits = tl.load(words)
    for i in tl.static_range(1, len(STREAMS)):
        bits |= tl.load(words + i)
        if STREAMS[i].side is not None:
            bits |= tl.load(words + SIDE + i)
    return bits % 16 == 0


@triton.jit
def gradient_scale(row, coefficient, T):
    """What gradients are multiplied by: the sign, and the clipping coefficient if there is one."""
    scale = tl.load(row + _SIGN).to(T)
    if coefficient is not None:
        scale *= tl.load(coefficient).to(T)
    return scale


@triton.jit
def gradient(g, p, row, scale):
    """The gradient as rules get it, of the gradient as it is stored."""
    g = scale * g
    l2 = tl.load(row + L2).to(g.dtype)
    if l2 != 0:
        g = _l2(g, p, l2)
    return g


@triton.jit
def stepped(p, u, g, row, WHOLE: tl.constexpr):
    """The new parameter; ``u`` is the rule's direction, or what a WHOLE rule wants written."""
    if WHOLE:
        return u
    if tl.load(row + _CAUTIOUS).to(p.dtype) != 0:
        u = _cautious(u, g)
    step = tl.load(row + _LR).to(p.dtype) * u
    decay = tl.load(row + _DECAY).to(p.dtype)
    if decay != 0:
        step = _decoupled(step, p, decay)
    return p - step


@triton.jit
def _update(g, p, states, row, coefficient, RULE: tl.constexpr, SCALARS: tl.constexpr, WHOLE: tl.constexpr):
    """The whole step on one block, as ``backends/eager.py`` has it: the new parameter and states."""
    scale = gradient_scale(row, coefficient, p.dtype)
    g = gradient(g, p, row, scale)
    scalars = ()
    for i in tl.static_range(SCALARS):
        scalars += (tl.load(row + OWN + i).to(p.dtype),)
    new = RULE(g, p, *states, *scalars)
    return stepped(p, new[0], g, row, WHOLE), new[1:]


@triton.jit
def _step_block(words, start, numel, row, coefficient, RULE: tl.constexpr, STREAMS: tl.constexpr,
                SCALARS: tl.constexpr, WHOLE: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """Steps SIZE elements: with WIDTH > 1 all of them, in accesses of WIDTH; else those that lie inside the tensor."""
    T: tl.constexpr = tl.float64 if STREAMS[1].main == tl.float64 else tl.float32
    step = tl.load(row + _STEP).to(tl.int64).to(tl.uint32)
    seed = (tl.load(words + ROW) >> 32).to(tl.uint32)
    tile = tile_at(start, numel, step, seed, WIDTH, SIZE)
    places = ()
    values = ()
    for i in tl.static_range(len(STREAMS)):
        places += (place(words, tile, STREAMS[i], WIDTH),)
        values += (read(places[i], tile, STREAMS[i]).to(T),)
    p, states = _update(values[0], values[1], values[2:], row, coefficient, RULE, SCALARS, WHOLE)
    write(p, places[1], tile, STREAMS[1])
    for i in tl.static_range(2, len(STREAMS)):
        write(states[i - 2], places[i], tile, STREAMS[i])


@triton.jit(do_not_specialize=["columns"])
def step(table, chunks, scalars, columns, coefficient,
         RULE: tl.constexpr, STREAMS: tl.constexpr, SCALARS: tl.constexpr, WHOLE: tl.constexpr,
         WIDTH: tl.constexpr):  # fmt: skip
    """One program a chunk. ``coefficient`` scales all gradients, or is None."""
    words, start, numel = _locate(table, chunks)
    row = scalars + tl.load(words + ROW).to(tl.int32).to(tl.int64) * columns
    if start + _BLOCK <= numel and _is_aligned(words, STREAMS):
        _step_block(words, start, numel, row, coefficient, RULE, STREAMS, SCALARS, WHOLE, WIDTH, _BLOCK)
    else:  # in parts, for few registers
        for part in range(start, min(start + _BLOCK, numel), _PART):
            _step_block(words, part, numel, row, coefficient, RULE, STREAMS, SCALARS, WHOLE, 1, _PART)


@triton.jit
def sum_squares(table, chunks, partials, TYPE: tl.constexpr):
    """The fp64 sum of one chunk of gradients a program, in an order that does not depend on alignment."""
    words, start, numel = _locate(table, chunks)
    lanes = tl.arange(0, _BLOCK)
    pointers = tl.load(words).to(tl.pointer_type(TYPE)) + start + lanes
    g = tl.load(pointers, lanes < numel - start, 0).to(tl.float64)
    tl.store(partials + tl.program_id(0), tl.sum(g * g))
