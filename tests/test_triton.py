"""The Triton engine equals eager bit for bit: in Triton's interpreter on the CPU, and on a GPU where there is one.

Rules that see matrices equal it but for the order of their sums. The kernels are also compiled ahead of time, which
needs no GPU, and their code is inspected.
"""

import os
import re
import subprocess
import sys

import pytest
import torch

import fusedopt
from fusedopt.backends.eager import Eager
from fusedopt.backends.triton import Triton
from fusedopt.math import abs, col_mean, maximum, mean, row_max, row_mean, rsqrt, select, sign, sqrt
from fusedopt.matrix import Matrix, last_two, one_row, square
from fusedopt.planner import Bucket, Entry, ScalarRow
from fusedopt.rule import REGISTRY, Rule
from fusedopt.scalars import HEADER

triton = pytest.importorskip("triton")
from fusedopt.triton_kernels import matrix, plan  # noqa: E402
from fusedopt.triton_kernels import step as kernels  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.* encountered:RuntimeWarning")  # NumPy's, in the interpreter

INTERPRETED = triton.knobs.runtime.interpret
OURS = [rule for rule in REGISTRY.values() if rule.update.__module__.startswith("fusedopt.")]
RULES, MATRIX_RULES = ([rule for rule in OURS if rule.sees_matrices == kind] for kind in (False, True))
FP32, BF16, FP16, FP64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
DTYPES = {  # gradient, parameter, states
    "fp32": [(FP32, FP32, FP32)],
    "fp64": [(FP64, FP64, FP64)],
    "fp16": [(FP16, FP16, FP16)],
    "bf16-state-fp32": [(BF16, BF16, FP32)],
    "fp32-grad-bf16": [(BF16, FP32, FP32)],
}
MIXED = [(FP32, FP32, FP32), (BF16, BF16, BF16), (FP64, FP16, FP64)]  # several launches of one bucket
MODIFIERS = [  # one row of the scalar table each
    {"gradient_sign": 1.0},
    {"gradient_sign": -1.0, "l2": 0.3},
    {"gradient_sign": 1.0, "cautious": 1.0},
    {"gradient_sign": 1.0, "decay": 0.01},
    {"gradient_sign": -1.0, "l2": 0.1, "cautious": 1.0, "decay": 0.02},
]
SIZES = [1, 7, kernels.BLOCK, kernels.BLOCK + 1, kernels.BLOCK]  # one tensor for each row
OFFSETS = [0, 0, 0, 0, 1]  # the last one is misaligned
EXTREMES = [torch.inf, -torch.inf, torch.nan, -0.0, 2.0**-14]  # the last one is the smallest normal number of fp16

on_device = pytest.mark.parametrize("device", ["cpu" if INTERPRETED else pytest.param("cuda", marks=pytest.mark.gpu)])
needs_device = pytest.mark.skipif(
    bool(Triton.unavailable(None)), reason="no GPU here; test_interpreted runs this in Triton's interpreter"
)
compiles = pytest.mark.skipif(INTERPRETED, reason="Triton is interpreted here")


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
            bucket.entries.append(Entry(p, record, tuple(rule.states), one_row(p), 0.0, None, row))
    return bucket


def run(engine_class, rule, dtypes, device):
    return run_bucket(engine_class, make_bucket(rule, dtypes, device))


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
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.itemsize]
    return torch.where(x.isnan(), torch.nan, x).view(integer)


def assert_same_bits(got, want):
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype
        torch.testing.assert_close(bits(x), bits(y), rtol=0, atol=0)


@needs_device
@on_device
@pytest.mark.parametrize("dtypes", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_step_equals_eager(rule, dtypes, device):
    assert_same_bits(run(Triton, rule, dtypes, device), run(Eager, rule, dtypes, device))


@needs_device
@on_device
def test_one_bucket_may_mix_dtypes(device):
    rule = REGISTRY["adam"]
    assert_same_bits(run(Triton, rule, MIXED, device), run(Eager, rule, MIXED, device))


def every_operation(g, p, s, a, b):
    s = maximum(abs(s) / 3, 1 / (2 + s * s))
    u = -select(g >= p, sqrt(s), 0.1) / (s + a * (b - s))
    return u + sign(g) * 1e-3, s


@needs_device
@on_device
@pytest.mark.parametrize("dtypes", [DTYPES["fp32"], DTYPES["fp64"]], ids=["fp32", "fp64"])
def test_rule_of_a_user_equals_eager(dtypes, device, monkeypatch):
    monkeypatch.setattr("fusedopt.rule.REGISTRY", {})
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
            bucket.entries.append(Entry(p, {}, (), one_row(p), 0.0, None))
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


MATRICES = [(33, 70), (130, 3), (1, 9), (0, 3), (4, 3, 3, 3)]  # a tile and more, several bands, a batch
VECTORS = [(), (0,), (1500,)]


def matrix_bucket(rule, dtype, device, shapes=None):
    """Parameters as the rule's optimizers see them; a row of the scalar table each, as far as they go."""
    kinds = set(rule.states.values())
    as_matrix = square if rule.name.endswith("nnmf") else last_two if kinds & {"row", "col"} else one_row
    shapes = shapes or (MATRICES if as_matrix is last_two else MATRICES + VECTORS)
    generator = torch.Generator().manual_seed(0)
    bucket = Bucket(rule, torch.device(device), FP64 if dtype == FP64 else FP32, counts_steps=False, capturable=False)
    bucket.rows = [ScalarRow(0, float(row), {}) for row in range(len(MODIFIERS))]
    for number, shape in enumerate(shapes):
        p = torch.randn(shape, generator=generator).to(device, dtype)
        p.grad = torch.randn(shape, generator=generator).to(device, dtype)
        view, record = as_matrix(p), {}
        for name, kind in rule.states.items():
            bits = torch.randint(256, view.shape(kind, p), generator=generator)
            record[name] = (bits / 256).to(bucket.dtype) if kind != "sign" else bits.to(torch.uint8)
            record[name] = record[name].to(device, dtype if kind == "signed" else None)
        bucket.entries.append(Entry(p, record, tuple(rule.states), view, 0.0, None, number % len(MODIFIERS)))
    return bucket


def assert_close(got, want, dtype, steps=3):
    """A sum in another order differs by a few roundings, a formula carries on a few dozen; signs are the same."""
    tolerance = 32 * steps * torch.finfo(FP64 if dtype == FP64 else FP32).eps
    for x, y in zip(got, want, strict=True):
        largest = y.abs().max().item() if y.numel() and y.is_floating_point() else 0.0
        rounding = torch.finfo(BF16).eps if x.dtype == BF16 else 0.0
        torch.testing.assert_close(x, y, rtol=rounding, atol=tolerance * largest)


@needs_device
@on_device
@pytest.mark.parametrize("rule", MATRIX_RULES, ids=lambda rule: rule.name)
def test_matrix_rule_equals_eager(rule, device):
    assert_close(*(run_bucket(engine, matrix_bucket(rule, FP64, device), 2) for engine in (Triton, Eager)), FP64)


@needs_device
@on_device
@pytest.mark.parametrize("name", ["adafactor_torch_momentum", "adam_nnmf"])
def test_matrix_rule_of_16_bits(name, device):
    first, second, want = (
        run_bucket(engine, matrix_bucket(REGISTRY[name], BF16, device, [(33, 70)]), 2)
        for engine in (Triton, Triton, Eager)
    )
    assert_close(first, want, BF16)
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


@needs_device
@on_device
def test_misaligned_matrices_are_summed_in_the_same_order(device):
    def step(offset):
        bucket = matrix_bucket(REGISTRY["adafactor_late_sqrt"], FP32, device, [(20, 136)])
        (entry,) = bucket.entries
        entry.owner.grad = torch.cat([entry.grad.new_zeros(offset), entry.grad.flatten()])[offset:].view(20, 136)
        return run_bucket(Triton, bucket, 1)

    assert all(torch.equal(x, y) for x, y in zip(step(0), step(1), strict=True))


@needs_device
@on_device
def test_maxima_keep_nan(device):
    bucket = matrix_bucket(REGISTRY["sm3_ii"], FP32, device, [(33, 70)])
    bucket.entries[0].grad[20, 30] = torch.nan
    _, rows, cols = run_bucket(Triton, bucket, 1)
    assert rows.isnan().flatten().nonzero().flatten().tolist() == [20]
    assert cols.isnan().flatten().nonzero().flatten().tolist() == [30]


def every_reduction(g, p, r, c, m, t, a):
    x = row_max(abs(g)) - col_mean(g)
    new = row_mean(x), col_mean(x), col_mean(row_mean(g)), mean(x)
    size = rsqrt(a + abs(new[0] + new[1]) + abs(new[2]) + abs(new[3]))
    return (g * r * c + m * t) * size, *new  # needs old and new states at once


@needs_device
@on_device
def test_matrix_rule_of_a_user_equals_eager(device, monkeypatch):
    monkeypatch.setattr("fusedopt.rule.REGISTRY", {})
    kinds = ("row", "col", "matrix", "tensor")
    rule = Rule(every_reduction, {kind: kind for kind in kinds})
    assert len(plan.late(rule.stages)) == len(kinds)
    assert_close(*(run_bucket(engine, matrix_bucket(rule, FP64, device)) for engine in (Triton, Eager)), FP64)


@needs_device
@on_device
@pytest.mark.parametrize("optimizer", [fusedopt.Adafactor, fusedopt.SMMF, fusedopt.SM3, fusedopt.Amos])
def test_optimizers_of_matrices_equal_eager(optimizer, device):
    """With all that is staged: a transposed parameter, a strided gradient."""

    def train(backend):
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(s, generator=generator).to(device) for s in [(), (0, 3), (6, 8), (20,)]]
        params.append(torch.randn(6, 8, generator=generator).to(device).T)
        opt = optimizer(params, max_grad_norm=0.5)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(*p.shape, 2, generator=generator).to(device)[..., 0]
            with fusedopt.use_backend(backend):
                opt.step()
        return [*params, *(x for state in opt.state.values() for x in state.values())]

    assert_close(train("triton"), train("eager"), FP32)


@compiles
def test_interpreted():
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


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


@pytest.fixture(params=[80, 90, 100], ids="sm_{}".format)
def arch(request, monkeypatch):
    monkeypatch.setattr(triton.runtime.driver, "_active", Compiler(request.param))
    return request.param


def compile_step(rule, dtypes, columns=11):
    grad, weight, state = dtypes
    constants = kernels.constants(rule, (grad, weight, *[state] * len(rule.states)))
    arguments = [torch.int64, torch.int32, torch.float64, columns, torch.float64]
    return kernels.step.warmup(*arguments, **constants, **kernels.OPTIONS, grid=(1,))


def cuobjdump(kernel, option, folder):
    file = folder / "kernel.cubin"
    file.write_bytes(kernel.asm["cubin"])
    command = [triton.knobs.nvidia.cuobjdump.path, option, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def assert_sound(kernel, folder, shared=r"SHARED:0"):
    """IEEE arithmetic without fused operations, and nothing but registers: no spills, no change of layout."""
    ptx = kernel.asm["ptx"].replace("rsqrt.approx.f32", "")  # rules ask for no more than that
    assert not re.search(r"\bfma\.|\.ftz|\.approx|\.full", ptx)
    assert len(re.findall(r"\b(?:div|sqrt)\.(?![su]\d)", ptx)) == len(re.findall(r"\b(?:div|sqrt)\.rn\.", ptx))
    assert re.search(rf"STACK:0 {shared} LOCAL:0", cuobjdump(kernel, "-res-usage", folder))


@compiles
@pytest.mark.parametrize("dtype", [FP32, BF16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
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


def compile_matrix(rule, dtype, size):
    """A rule's sweeps over one parameter, and what adds up their sums."""
    arithmetic = FP64 if dtype == FP64 else FP32
    kept = {"signed": dtype, "positive": dtype, "sign": torch.uint8}
    dtypes = dtype, dtype, *(kept.get(kind, arithmetic) for kind in rule.states.values())
    for launch in plan.Plan(rule, [dtypes], [Matrix(*size, (), ())], arithmetic).launches:
        tables, scalars = (torch.int64, torch.int32), (torch.float64, 11, torch.float64)
        options = {**kernels.OPTIONS, "grid": (1,)}
        yield launch.sweep, matrix.sweep.warmup(*tables, *scalars, torch.int64, launch.text, launch.sweep, **options)
        if launch.sweep.sums + launch.sweep.row_sums:
            yield launch.sweep, matrix.finish.warmup(*tables, torch.int64, launch.sweep, **options)


COMPILED = [
    ("adafactor_late_sqrt_momentum", FP32, (1, 3072, 768), 6, 4),  # 16-byte loads and stores in the sweep that commits
    ("sm3_ii_momentum", FP32, (1, 3072, 768), 6, 4),
    ("adam_nnmf", FP32, (1, 3072, 768), 4, 2),
    ("adam_nnmf", BF16, (1, 3072, 768), 2, 1),
    ("adam_nnmf", FP64, (1, 3072, 768), 0, 0),
    ("adafactor_vector", BF16, (1, 1, 768), 2, 2),
    ("amos_rows", FP32, (1, 50257, 3), 0, 0),
    ("adafactor_torch", FP32, (4096, 3, 3), 0, 0),
]


@compiles
@pytest.mark.parametrize(("name", "dtype", "size", "loads", "stores"), COMPILED)
@pytest.mark.parametrize("arch", [90], indirect=True, ids="sm_{}".format)
def test_compiled_matrix_code(name, dtype, size, loads, stores, arch, tmp_path):
    for sweep, kernel in compile_matrix(REGISTRY[name], dtype, size):
        assert_sound(kernel, tmp_path, shared=r"SHARED:\d+")
        if sweep.commits and "sweep" in kernel.metadata.name:
            ptx = kernel.asm["ptx"]
            assert [len(re.findall(rf"\b{x}\.global\.v4\.b32", ptx)) for x in ("ld", "st")] == [loads, stores]


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
