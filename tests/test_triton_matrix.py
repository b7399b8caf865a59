"""Rules that see matrices, on the Triton engine: equal to eager but for the order of sums, and run after run."""

import re

import pytest
import torch
from triton_checks import (
    BF16,
    FP32,
    FP64,
    MATRIX_RULES,
    MODIFIERS,
    Compiler,
    assert_sound,
    compiles,
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
from fusedopt.math import abs, col_mean, mean, row_max, row_mean, rsqrt
from fusedopt.matrix import Matrix, last_two, one_row, square
from fusedopt.planner import Bucket, Entry, ScalarRow
from fusedopt.rule import REGISTRY, Rule
from fusedopt.triton_kernels import matrix, plan, sums
from fusedopt.triton_kernels.step import OPTIONS

pytestmark = quietly

MATRICES = [(9, 70), (1, 9), (0, 3), (4, 3, 3, 3)]  # a tile and more, a batch
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
        plain = [None] * (1 + len(record))
        entry = Entry(p, record, tuple(rule.states), plain, view, 0.0, number, None, number % len(MODIFIERS))
        bucket.entries.append(entry)
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
@pytest.mark.parametrize(
    ("name", "dtype"), [("adafactor_torch_momentum", FP32), ("sm3_i", FP32), ("adam_nnmf", BF16)], ids=str
)
def test_bands_and_blocks(name, dtype, device):
    """Sums of several programs, added up in the same order run after run."""
    first, second, want = (
        run_bucket(engine, matrix_bucket(REGISTRY[name], dtype, device, [(130, 150)]), 1)
        for engine in (Triton, Triton, Eager)
    )
    assert_close(first, want, dtype)
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
def test_matrix_rule_of_a_user_equals_eager(device):
    kinds = ("row", "col", "matrix", "tensor")
    rule = Rule(every_reduction, {kind: kind for kind in kinds})
    assert len(plan.late(rule.stages)) == len(kinds)
    buckets = (matrix_bucket(rule, FP64, device, [(9, 70), (130, 3)]) for _ in range(2))
    assert_close(*map(run_bucket, (Triton, Eager), buckets), FP64)


def exchange(g, p, a, b, c, d):
    both = a + b
    return (g * a + c) * d, b, both, both, d


@needs_device
@on_device
def test_states_that_change_places(device):
    rule = Rule(exchange, {"a": "row", "b": "row", "c": "row", "d": "col"})
    buckets = (matrix_bucket(rule, FP64, device, [(5, 7)]) for _ in range(2))
    assert_close(*map(run_bucket, (Triton, Eager), buckets), FP64)


@needs_device
@on_device
@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        *((cls, {}) for cls in (fusedopt.Adafactor, fusedopt.SMMF, fusedopt.SM3, fusedopt.Amos)),
        (fusedopt.SM3, {"momentum": 0.9, "state_format": "8bit"}),
    ],
    ids=str,
)
def test_optimizers_of_matrices_equal_eager(optimizer, options, device):
    """With all that is staged: a transposed parameter, a strided gradient, what is in a codec."""

    def train(backend):
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(s, generator=generator).to(device) for s in [(), (0, 3), (6, 8), (20,)]]
        params.append(torch.randn(6, 8, generator=generator).to(device).T)
        opt = optimizer(params, max_grad_norm=0.5, **options)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(*p.shape, 2, generator=generator).to(device)[..., 0]
            with fusedopt.use_backend(backend):
                opt.step()
        return [*params, *(x for state in opt.state.values() for x in state.values())]

    assert_close(train("triton"), train("eager"), FP32)


def compile_matrix(rule, dtype, size):
    """A rule's sweeps over one parameter, and what adds up their sums."""
    arithmetic = FP64 if dtype == FP64 else FP32
    kept = {"signed": dtype, "positive": dtype, "sign": torch.uint8}
    dtypes = dtype, dtype, *(kept.get(kind, arithmetic) for kind in rule.states.values())
    tables, scalars, memory = (torch.int64, torch.int32), (torch.float64, 11, torch.float64), (arithmetic, torch.int64)
    options = {**OPTIONS, "grid": (1,)}
    for group in plan.Plan(rule, [dtypes], [Matrix(*size, (), ())], arithmetic).groups:
        sweep = group.sweep
        yield sweep, matrix.sweep.warmup(*tables, *scalars, *memory, TEXT=group.text, S=sweep, **options)
        if group.sums:
            yield sweep, sums.finish.warmup(*tables, *memory, S=sweep, **options)


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
def test_compiled_code(name, dtype, size, loads, stores, monkeypatch, tmp_path):
    monkeypatch.setattr(triton.runtime.driver, "_active", Compiler(90))
    for sweep, kernel in compile_matrix(REGISTRY[name], dtype, size):
        assert_sound(kernel, tmp_path, shared=r"SHARED:\d+")
        if sweep.commits and "sweep" in kernel.metadata.name:
            ptx = kernel.asm["ptx"]
            assert [len(re.findall(rf"\b{x}\.global\.v4\.b32", ptx)) for x in ("ld", "st")] == [loads, stores]


@compiles
def test_interpreted():
    run_interpreted(__file__)
