"""What the tests of the Triton engine share: steps of a bucket on an engine, marks, and a GPU to compile for."""

import os
import re
import subprocess
import sys

import pytest
import torch

from fusedopt.backends.triton import Triton
from fusedopt.rule import REGISTRY
from fusedopt.scalars import HEADER

triton = pytest.importorskip("triton")

INTERPRETED = triton.knobs.runtime.interpret
RULES, MATRIX_RULES = ([rule for rule in REGISTRY.values() if rule.sees_matrices == kind] for kind in (False, True))
FP32, BF16, FP16, FP64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
MODIFIERS = [  # one row of the scalar table each
    {"gradient_sign": 1.0},
    {"gradient_sign": -1.0, "l2": 0.3},
    {"gradient_sign": 1.0, "cautious": 1.0},
    {"gradient_sign": 1.0, "decay": 0.01},
    {"gradient_sign": -1.0, "l2": 0.1, "cautious": 1.0, "decay": 0.02},
]

on_device = pytest.mark.parametrize("device", ["cpu" if INTERPRETED else pytest.param("cuda", marks=pytest.mark.gpu)])
quietly = pytest.mark.filterwarnings("ignore:.* encountered:RuntimeWarning")  # NumPy's, in the interpreter
needs_device = pytest.mark.skipif(
    bool(Triton.unavailable(None)), reason="no GPU here; test_interpreted runs this in Triton's interpreter"
)
compiles = pytest.mark.skipif(INTERPRETED, reason="Triton is interpreted here")


def run_interpreted(file):
    """Runs the tests of ``file`` in Triton's interpreter, which a process must choose at its start."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


def run_bucket(engine_class, bucket, steps=3):
    """Some steps; returns every parameter and state."""
    engine, rule, device = engine_class(bucket), bucket.rule, bucket.device
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        own = 0.1 + 0.8 * torch.rand(len(MODIFIERS), len(rule.scalars), generator=generator, dtype=FP64)
        header = [[{"lr": 0.01, **modifiers}.get(name, 0.0) for name in HEADER] for modifiers in MODIFIERS]
        coefficient = torch.tensor(0.7 / step, dtype=FP64, device=device) if step else None
        engine.run(torch.cat([torch.tensor(header, dtype=FP64), own], 1), coefficient)
        for entry in bucket.entries:
            entry.grad.copy_(entry.grad.roll(1, 0 if entry.grad.dim() else None).neg())
    return [t for entry in bucket.entries for t in (entry.param, *entry.states)]


def bits(x):
    """All NaNs are one: their payload is the hardware's."""
    if not x.is_floating_point():
        return x
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.itemsize]
    return torch.where(x.isnan(), torch.nan, x).view(integer)


def assert_same_bits(got, want):
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype
        torch.testing.assert_close(bits(x), bits(y), rtol=0, atol=0)


class Compiler:
    """Triton's driver of a GPU that need not be there."""

    def __init__(self, arch):
        self.arch = arch

    def get_current_target(self):
        return triton.backends.compiler.GPUTarget("cuda", self.arch, 32)

    def get_current_device(self):
        return self.arch  # Triton keeps one cache for each device

    def get_current_stream(self, device):
        return 0


def cuobjdump(kernel, option, folder):
    file = folder / "kernel.cubin"
    file.write_bytes(kernel.asm["cubin"])
    command = [triton.knobs.nvidia.cuobjdump.path, option, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def assert_sound(kernel, folder, shared=r"SHARED:0"):
    """IEEE arithmetic without fused operations, and nothing but registers: no spills, no change of layout."""
    ptx = kernel.asm["ptx"]
    assert not re.search(r"\bfma\.|\.ftz|\.approx|\.full", ptx)
    assert len(re.findall(r"\b(?:div|sqrt)\.(?![su]\d)", ptx)) == len(re.findall(r"\b(?:div|sqrt)\.rn\.", ptx))
    assert re.search(rf"STACK:0 {shared} LOCAL:0", cuobjdump(kernel, "-res-usage", folder))
