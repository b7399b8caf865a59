"""The generic step, one launch that applies one rule with all modifiers to many tensors, and the sum of squares.

``table`` holds twelve 64-bit words a tensor, as ``csrc/row.h`` lays them out: the addresses of gradient, parameter and
states, the numbers of elements, rows and columns, the row of the scalar table. ``chunks`` holds pairs: a tensor, a
chunk of that tensor.
"""

import triton
import triton.language as tl

from fusedopt import modifiers
from fusedopt.scalars import HEADER

from .math import bind, narrow, rule_function

NUM_WARPS = 4
BLOCK = 8 * 32 * NUM_WARPS  # 8 elements a thread are 16 bytes of bf16; 16 would spill AMSGrad in fp64
OPTIONS = {"num_warps": NUM_WARPS, "enable_fp_fusion": False}

WORDS, NUMEL, ROWS, COLS, ROW = (tl.constexpr(i) for i in (12, 8, 9, 10, 11))
_BLOCK, _PART = tl.constexpr(BLOCK), tl.constexpr(BLOCK // 4)
_LR, _DECAY, L2, _SIGN, _CAUTIOUS, OWN = (
    tl.constexpr((*HEADER, "own").index(name)) for name in ("lr", "decay", "l2", "gradient_sign", "cautious", "own")
)
_l2, _cautious, _decoupled = map(bind, (modifiers.l2, modifiers.cautious, modifiers.decoupled))


def constants(rule, dtypes):
    """The compile-time arguments of :func:`step` for tensors of these dtypes: gradient, parameter, states."""
    types = triton_types(dtypes)
    return {"RULE": rule_function(rule), "TYPES": types, "SCALARS": len(rule.scalars), "WIDTH": width(dtypes)}


def triton_types(dtypes):
    return tuple(getattr(tl, str(dtype).removeprefix("torch.")) for dtype in dtypes)


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
def _is_aligned(words, count: tl.constexpr):
    """Whether every address allows accesses of 16 bytes."""
    bits = tl.load(words)
    for i in tl.static_range(1, count):
        bits |= tl.load(words + i)
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
def stepped(p, u, g, row):
    """The new parameter; ``u`` is the rule's direction."""
    if tl.load(row + _CAUTIOUS).to(p.dtype) != 0:
        u = _cautious(u, g)
    step = tl.load(row + _LR).to(p.dtype) * u
    decay = tl.load(row + _DECAY).to(p.dtype)
    if decay != 0:
        step = _decoupled(step, p, decay)
    return p - step


@triton.jit
def _update(g, p, states, row, coefficient, RULE: tl.constexpr, SCALARS: tl.constexpr):
    """The whole step on one block, as ``backends/eager.py`` has it: the new parameter and states."""
    scale = gradient_scale(row, coefficient, p.dtype)
    g = gradient(g, p, row, scale)
    scalars = ()
    for i in tl.static_range(SCALARS):
        scalars += (tl.load(row + OWN + i).to(p.dtype),)
    new = RULE(g, p, *states, *scalars)
    return stepped(p, new[0], g, row), new[1:]


@triton.jit
def _step_block(words, start, numel, row, coefficient, RULE: tl.constexpr, TYPES: tl.constexpr,
                SCALARS: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """Steps SIZE elements: with WIDTH > 1 all of them, in accesses of WIDTH; else those that lie inside the tensor."""
    T: tl.constexpr = tl.float64 if TYPES[1] == tl.float64 else tl.float32
    lanes = tl.max_contiguous(tl.arange(0, SIZE), WIDTH)  # alike for all dtypes, so that no layout is converted
    mask = lanes < numel - start if WIDTH == 1 else None
    pointers = ()
    values = ()
    for i in tl.static_range(len(TYPES)):
        base = tl.load(words + i).to(tl.pointer_type(TYPES[i])) + start
        pointers += ((tl.multiple_of(base, 16) if WIDTH > 1 else base) + lanes,)
        values += (tl.load(pointers[i], mask).to(T),)
    p, states = _update(values[0], values[1], values[2:], row, coefficient, RULE, SCALARS)
    tl.store(pointers[1], narrow(p, TYPES[1]), mask)
    for i in tl.static_range(2, len(TYPES)):
        tl.store(pointers[i], narrow(states[i - 2], TYPES[i]), mask)


@triton.jit(do_not_specialize=["columns"])
def step(table, chunks, scalars, columns, coefficient,
         RULE: tl.constexpr, TYPES: tl.constexpr, SCALARS: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    """One program a chunk. ``coefficient`` scales all gradients, or is None."""
    words, start, numel = _locate(table, chunks)
    row = scalars + tl.load(words + ROW).to(tl.int32).to(tl.int64) * columns
    if start + _BLOCK <= numel and _is_aligned(words, len(TYPES)):
        _step_block(words, start, numel, row, coefficient, RULE, TYPES, SCALARS, WIDTH, _BLOCK)
    else:  # in parts, for few registers
        for part in range(start, min(start + _BLOCK, numel), _PART):
            _step_block(words, part, numel, row, coefficient, RULE, TYPES, SCALARS, 1, _PART)


@triton.jit
def sum_squares(table, chunks, partials, TYPE: tl.constexpr):
    """The fp64 sum of one chunk of gradients a program, in an order that does not depend on alignment."""
    words, start, numel = _locate(table, chunks)
    lanes = tl.arange(0, _BLOCK)
    pointers = tl.load(words).to(tl.pointer_type(TYPE)) + start + lanes
    g = tl.load(pointers, lanes < numel - start, 0).to(tl.float64)
    tl.store(partials + tl.program_id(0), tl.sum(g * g))
