"""The Triton engine equals eager bit for bit: in Triton's interpreter on the CPU, and on a GPU where there is one.

Its kernels are also compiled ahead of time, which needs no GPU, and their code is inspected. Rules that see matrices
have their own tests.
"""

import re
import sys

import pytest
import torch
from triton_checks import (
    BF16,
    FP16,
    FP32,
    FP64,
    INTERPRETED,
    MODIFIERS,
    RULES,
    Compiler,
    assert_same_bits,
    assert_sound,
    compiles,
    cuobjdump,
    needs_device,
    on_device,
    quietly,
    run_bucket,
    run_interpreted,
    triton,
)

import fusedopt
from fusedopt.backends.eager import Eager
from fusedopt.backends.triton import Triton
from fusedopt.math import abs, maximum, select, sign, sqrt
from fusedopt.matrix import one_row
from fusedopt.planner import Bucket, Entry, ScalarRow
from fusedopt.rule import REGISTRY, Rule
from fusedopt.triton_kernels import step as kernels

pytestmark = quietly
DTYPES = {  # gradient, parameter, states
    "fp32": [(FP32, FP32, FP32)],
    "fp64": [(FP64, FP64, FP64)],
    "fp16": [(FP16, FP16, FP16)],
    "bf16-state-fp32": [(BF16, BF16, FP32)],
    "fp32-grad-bf16": [(BF16, FP32, FP32)],
}
ADAM = REGISTRY["adam"]
ROWS = [  # every rule in both arithmetics, one in every other dtype
    *((rule, dtypes) for rule in RULES for dtypes in ("fp32", "fp64")),
    *((ADAM, dtypes) for dtypes in list(DTYPES)[2:]),
]
MIXED = [(FP32, FP32, FP32), (BF16, BF16, BF16), (FP64, FP16, FP64)]  # several launches of one bucket
SIZES = [1, 7, kernels.BLOCK, kernels.BLOCK + 1, kernels.BLOCK]  # one tensor for each row
OFFSETS = [0, 0, 0, 0, 1]  # the last one is misaligned
EXTREMES = [torch.inf, -torch.inf, torch.nan, -0.0, 2.0**-14]  # the last one is the smallest normal number of fp16


def make_bucket(rule, dtypes, device):
    generator = torch.Generator().manual_seed(0)

    def tensor(dtype, size, offset):
        x = torch.randn(size + offset, generator=generator) * torch.randn(size + offset, generator=generator).exp()
        return x.to(device, dtype)[offset:]

    arithmetic = FP64 if dtypes[0][1] == FP64 else FP32
    bucket = Bucket(rule, torch.device(device), arithmetic, counts_steps=False, capturable=False)
    bucket.rows = [ScalarRow(0, float(row), {}) for row in range(len(MODIFIERS))]
    for grad, weight, state in dtypes:
        for row, (size, offset) in enumerate(zip(SIZES, OFFSETS, strict=True)):
            p = tensor(weight, size, offset)
            p.grad_dtype = grad
            p.grad = tensor(grad, size, offset)
            if size > len(EXTREMES) + 2:
                p.grad[-len(EXTREMES) :] = torch.tensor(EXTREMES)
            record = {name: tensor(state, size, offset).abs() for name in rule.states}
            plain = [None] * (1 + len(record))
            bucket.entries.append(Entry(p, record, tuple(rule.states), plain, one_row(p), 0.0, row, None, row))
    return bucket


def run(engine_class, rule, dtypes, device):
    return run_bucket(engine_class, make_bucket(rule, dtypes, device))


@needs_device
@on_device
@pytest.mark.parametrize(("rule", "dtypes"), ROWS, ids=lambda x: getattr(x, "name", x))
def test_step_equals_eager(rule, dtypes, device):
    assert_same_bits(*(run(engine, rule, DTYPES[dtypes], device) for engine in (Triton, Eager)))


@needs_device
@on_device
def test_one_bucket_may_mix_dtypes(device):
    assert_same_bits(run(Triton, ADAM, MIXED, device), run(Eager, ADAM, MIXED, device))


def every_operation(g, p, s, a, b):
    s = maximum(abs(s) / 3, 1 / (2 + s * s))
    u = -select(g >= p, sqrt(s), 0.1) / (s + a * (b - s))
    return u + sign(g) * 1e-3, s


@needs_device
@on_device
@pytest.mark.parametrize("dtypes", [DTYPES["fp32"], DTYPES["fp64"]], ids=["fp32", "fp64"])
def test_rule_of_a_user_equals_eager(dtypes, device):
    rule = Rule(every_operation, {"s": "exact"})
    assert_same_bits(run(Triton, rule, dtypes, device), run(Eager, rule, dtypes, device))


@needs_device
@on_device
def test_sum_squares(device):
    def bucket(offset):
        bucket = Bucket(REGISTRY["sgd"], torch.device(device), FP32, counts_steps=False, capturable=False)
        generator = torch.Generator().manual_seed(0)
        for dtype, size in [(FP32, 5000), (BF16, 1), (FP32, kernels.BLOCK), (FP32, 0)]:
            g = torch.zeros(size + offset, dtype=dtype, device=device)[offset:]
            g.copy_(torch.randn(size, generator=generator))
            p = torch.zeros_like(g)
            p.grad = g
            bucket.entries.append(Entry(p, {}, (), [None], one_row(p), 0.0, 0, None))
        bucket.rows = [ScalarRow(0, 0.0, {})]
        return bucket

    total = Triton(bucket(0)).sum_squares()
    torch.testing.assert_close(total, Eager(bucket(0)).sum_squares(), rtol=1e-14, atol=0)
    assert torch.equal(total, Triton(bucket(0)).sum_squares())
    assert torch.equal(total, Triton(bucket(1)).sum_squares())  # independent of alignment


@needs_device
@on_device
@pytest.mark.parametrize("stride", [1, 2])  # 2: stepped through dense copies
def test_optimizer_equals_eager(stride, device):
    def train(backend):
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(s, generator=generator).to(device) for s in [(), (0, 3), (7, 3), (kernels.BLOCK + 5,)]]
        params.append(torch.randn(6, 8, generator=generator).to(device)[:, ::stride])
        groups = [{"params": params[:2], "lr": 0.1}, {"params": params[2:]}]
        optimizer = fusedopt.AdamW(groups, amsgrad=True, cautious=True, max_grad_norm=0.5)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator).to(device)
            with fusedopt.use_backend(backend):
                optimizer.step()
        return [*params, *(x for state in optimizer.state.values() for x in state.values())]

    assert_same_bits(train("triton"), train("eager"))


@compiles
def test_interpreted():
    run_interpreted(__file__)


@pytest.fixture(params=[80, 90, 100], ids="sm_{}".format)
def arch(request, monkeypatch):
    monkeypatch.setattr(triton.runtime.driver, "_active", Compiler(request.param))
    return request.param


def compile_step(rule, dtypes, columns=11):
    grad, weight, state = dtypes
    constants = kernels.constants(rule, ((grad, None), (weight, None), *[(state, None)] * len(rule.states)))
    arguments = [torch.int64, torch.int32, torch.float64, columns, torch.float64]
    return kernels.step.warmup(*arguments, **constants, **kernels.OPTIONS, grid=(1,))


@compiles
@pytest.mark.parametrize("dtype", [FP32, BF16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    ("rule", "arch"),
    [*((rule, 90) for rule in RULES), (ADAM, 80), (ADAM, 100)],
    indirect=["arch"],
    ids=lambda x: getattr(x, "name", f"sm_{x}"),
)
def test_compiled_code(rule, dtype, arch, tmp_path):
    kernel = compile_step(rule, (dtype, dtype, dtype))
    accesses = kernels.BLOCK // (32 * kernels.OPTIONS["num_warps"]) * dtype.itemsize // 16  # a thread and tensor
    states = len(rule.states)
    assert len(re.findall(r"\bld\.global\.v4\.b32", kernel.asm["ptx"])) == accesses * (2 + states)
    assert len(re.findall(r"\bst\.global\.v4\.b32", kernel.asm["ptx"])) == accesses * (1 + states)
    assert_sound(kernel, tmp_path)


@compiles
@pytest.mark.parametrize("dtypes", [*(d for (d,) in DTYPES.values()), *MIXED], ids=str)
@pytest.mark.parametrize("arch", [90], indirect=True, ids="sm_{}".format)
def test_compiled_code_of_dtypes(dtypes, arch, tmp_path):
    assert_sound(compile_step(REGISTRY["amsgrad"], dtypes), tmp_path)


@compiles
def test_assembler_fuses_nothing(arch, tmp_path):
    """Checked on a rule without division and root, which are made of fused operations themselves."""
    kernel = compile_step(REGISTRY["lion"], DTYPES["fp32"][0])
    sass = cuobjdump(kernel, "-sass", tmp_path)
    assert "FMUL" in sass
    assert "FFMA" not in sass


@compiles
@pytest.mark.parametrize("arch", [90], indirect=True, ids="sm_{}".format)
def test_number_of_scalars_needs_no_recompilation(arch):
    kernel = compile_step(REGISTRY["sgd"], DTYPES["fp32"][0])
    assert all(compile_step(REGISTRY["sgd"], DTYPES["fp32"][0], columns) is kernel for columns in (1, 16, 17))


def test_unavailable_names_the_reason(monkeypatch):
    other = torch.device("cuda" if INTERPRETED else "cpu")
    assert "tensors only" in Triton.unavailable(other)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert "pip install triton" in Triton.unavailable(None)
