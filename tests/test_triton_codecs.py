"""The Triton engine reads and writes every codec as fusedopt/codecs.py does, bit for bit."""

import re

import pytest
import torch
from triton_checks import (
    BF16,
    FP16,
    FP32,
    FP64,
    Compiler,
    assert_same_bits,
    assert_sound,
    compiles,
    needs_device,
    on_device,
    quietly,
    run_interpreted,
    triton,
)

import fusedopt
from fusedopt import codecs
from fusedopt.backends import native
from fusedopt.rule import REGISTRY
from fusedopt.triton_kernels import step as kernels

pytestmark = quietly

NAN = torch.tensor(0x7FFFFFFF, dtype=torch.int32).view(FP32).item()  # which the next number would not be
SIZES = [1, 300, kernels.BLOCK + 257, kernels.BLOCK]
OFFSETS = [0, 0, 0, 1]  # the last one is misaligned
# The last step goes from here to a NaN, and to where only some random bits round to infinity, then all.
EXTREMES = [torch.inf, -torch.inf, torch.nan, -0.0, 65519.0, 2.0**-14, -3e-5, 1.2e-7, *[3.39e38] * 12]
STEEP = [0.0] * 7 + [NAN, *[-6.61e37] * 10, *[-1e38] * 2]
EIGHT = {"state_format": "8bit"}
CASES = [
    (fusedopt.AdamW, FP32, EIGHT),
    (fusedopt.AdamW, BF16, {"state_format": "8bit", "state_rounding": "nearest", "weight_format": "kahan"}),
    (fusedopt.Lion, FP64, EIGHT),
    (fusedopt.AdamW, BF16, {"state_format": "8bit_dynamic", "weight_format": "stochastic"}),  # through plain copies
    (fusedopt.AdamW, FP32, {"state_format": "bf16"}),
    (fusedopt.Lion, BF16, {"weight_format": "stochastic"}),
    (fusedopt.Lion, FP16, {"weight_format": "stochastic", **EIGHT}),
    (fusedopt.Lion, FP16, {"weight_format": "kahan"}),
    (fusedopt.SGD, BF16, {"weight_format": "split24"}),
    (fusedopt.SGD, BF16, {"weight_format": "split32", "momentum": 0.9, **EIGHT}),
    (fusedopt.SGD, BF16, {"weight_format": "split32"}),
]


def train(backend, optimizer, dtype, options, device, steps=2):
    """Gradients of many octaves; whole blocks of zeros, on which numbers stand that rounding treats specially."""
    generator = torch.Generator().manual_seed(0)

    def tensor(size, offset):
        x, octaves = torch.randn(2, size + offset, generator=generator)
        return (x * (4 * octaves).exp2()).to(device, dtype)[offset:]

    params = [tensor(size, offset) for size, offset in zip(SIZES, OFFSETS, strict=True)]
    params[2][: len(EXTREMES)] = torch.tensor(EXTREMES, dtype=dtype, device=device)
    opt = optimizer(params, lr=0.01, **options)
    for step in range(steps):
        for p, size, offset in zip(params, SIZES, OFFSETS, strict=True):
            p.grad = tensor(size, offset)
        params[2].grad[: codecs.BLOCK] = 0
        if step == steps - 1 and "8bit" not in options.get("state_format", ""):  # a NaN's code has any sign
            params[2].grad[: len(EXTREMES)] = torch.tensor(STEEP, device=device)
        with fusedopt.use_backend(backend):
            opt.step()
    return [*params, *(x for state in opt.state.values() for x in state.values())]


@needs_device
@on_device
@pytest.mark.parametrize(("optimizer", "dtype", "options"), CASES, ids=str)
def test_codecs_equal_eager(optimizer, dtype, options, device):
    assert_same_bits(*(train(backend, optimizer, dtype, options, device) for backend in ("triton", "eager")))


@needs_device
@on_device
def test_codecs_without_compiled_code(device, monkeypatch):
    monkeypatch.setattr(native, "missing", "not compiled")
    case = CASES[1]
    assert_same_bits(*(train(backend, *case, device, 1) for backend in ("triton", "eager")))


MOMENTA = (torch.int8, codecs.SIGNED8), (torch.uint8, codecs.POSITIVE8_STOCHASTIC)
COMPILED = {  # 16-byte loads and stores of a thread
    "fp32": ([(FP32, None), (FP32, None), *MOMENTA], 4, 2),
    "fp64": ([(FP64, None), (FP64, None), *MOMENTA], 0, 0),  # PTX calls two numbers in fp64 v2
    "split32": ([(BF16, None), (BF16, codecs.WEIGHTS["split32", BF16]), *MOMENTA], 3, 2),
    "fp16": ([(FP16, None), (FP16, codecs.WEIGHTS["stochastic", FP16]), (FP32, None), (FP32, None)], 4, 4),
}


@compiles
@pytest.mark.parametrize(("case", "arch"), [*((case, 90) for case in COMPILED), ("fp32", 80), ("fp32", 100)], ids=str)
def test_compiled_code(case, arch, monkeypatch, tmp_path):
    streams, loads, stores = COMPILED[case]
    monkeypatch.setattr(triton.runtime.driver, "_active", Compiler(arch))
    constants = kernels.constants(REGISTRY["adam"], tuple(streams))
    arguments = [torch.int64, torch.int32, FP64, 11, FP64]
    kernel = kernels.step.warmup(*arguments, **constants, **kernels.OPTIONS, grid=(1,))
    ptx, shared = kernel.asm["ptx"], streams[2:] == [*MOMENTA]
    assert [len(re.findall(rf"\b{x}\.global\.v4\.b32", ptx)) for x in ("ld", "st")] == [loads, stores]
    assert_sound(kernel, tmp_path, shared=r"SHARED:\d+" if shared else "SHARED:0")
    if shared:  # whole blocks come first, and wait for nothing
        assert ptx.split("bar.sync")[0].count("redux.sync") == len(MOMENTA)


@compiles
def test_interpreted():
    run_interpreted(__file__)
