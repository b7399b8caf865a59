"""The CUDA engine without a GPU: what nvcc made of the kernels, and the kernels' own text played by the CPU."""

import contextlib
import ctypes
import math
import re
import shutil
import subprocess
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from references import CASES, Case
from test_rules import DTYPES

import fusedopt
from fusedopt.backends import native
from fusedopt.backends.cuda import Cuda, chunk_map
from fusedopt.rule import REGISTRY

NVCC = shutil.which("nvcc")
CSRC = Path(__file__).parents[1] / "csrc"
FLAGS = re.search(r"set\(CUDA_KERNEL_FLAGS (.*)\)", (CSRC / "cuda/cuda.cmake").read_text())[1].split()
STREAMS = {"adam": 4, "lion": 3}
MATRIX_RULES = ["adafactor_late_sqrt", "adam_nnmf"]
pytestmark = pytest.mark.skipif(not NVCC, reason="nvcc is not on PATH")


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def compile_rule(rule, folder, *flags, arch="sm_90"):
    source, output = folder / f"{rule}.cu", folder / f"{rule}.out"
    header = REGISTRY[rule].update.__module__.rpartition(".")[2]
    names = {"ENGINE": "matrix" if REGISTRY[rule].sees_matrices else "engine", "HEADER": header, "RULE": rule}
    source.write_text(re.sub("@([A-Z]+)@", lambda name: names[name[1]], (CSRC / "cuda/rule.cu.in").read_text()))
    run(NVCC, "-std=c++17", f"-arch={arch}", f"-I{CSRC}", *flags, source, "-o", output)
    return output


@pytest.fixture(scope="module", params=product([*STREAMS, *MATRIX_RULES], ["sm_90", "sm_120"]), ids="-".join)
def cubin(request, tmp_path_factory):
    """For one architecture of each of nvcc's two optimizers, which may see undefined behaviour differently."""
    rule, arch = request.param
    return rule, compile_rule(rule, tmp_path_factory.mktemp("cubin"), *FLAGS, "-cubin", arch=arch)


@pytest.fixture(scope="module")
def cuobjdump():
    beside_triton = pytest.importorskip("triton").__path__[0] + "/backends/nvidia/bin/cuobjdump"
    return shutil.which("cuobjdump") or shutil.which(beside_triton) or pytest.skip("no cuobjdump, nor Triton's")


def check_registers(usage, kernels):
    found = re.findall(r"REG:\d+ STACK:(\d+) .*LOCAL:(\d+)", usage)
    assert len(found) >= kernels
    assert set(found) == {("0", "0")}


def test_kernels_keep_everything_in_registers(cubin, cuobjdump):
    check_registers(run(cuobjdump, "-res-usage", cubin[1]), kernels=2)


@pytest.mark.skipif(not hasattr(native._C, "cuda"), reason="fusedopt was compiled without CUDA")
def test_installed_kernels_keep_everything_in_registers(cuobjdump):
    targets = native._C.cuda.targets().split()
    check_registers(run(cuobjdump, "-res-usage", native._C.__file__), kernels=2 * len(targets) * len(native.rules()))


def test_kernels_move_16_bytes_at_a_time(cubin, cuobjdump):
    """Every stream of an elementwise rule; at least one of every sweep, as those of matrices differ."""
    rule, path = cubin
    for kernel in run(cuobjdump, "-sass", path).split("Function :")[1:]:
        name = kernel.partition("\n")[0]
        assert not re.search(r"\bLDL|\bSTL", kernel)
        loads, stores = (len(re.findall(rf"{access}\.E[.A-Z]*\.128", kernel)) for access in ("LDG", "STG"))
        if "Sweep" in name:
            assert loads > 0
        elif rule in STREAMS and not re.search("coded_kernelI.*EdEE", name):  # doubles beside codes go one by one
            assert loads >= STREAMS[rule]
            assert stores >= STREAMS[rule] - 1


@pytest.mark.parametrize("rule", [*STREAMS, *MATRIX_RULES])
def test_arithmetic_is_ieee_and_never_contracted(rule, tmp_path):
    ptx = compile_rule(rule, tmp_path, *FLAGS, "-ptx").read_text()
    operations = set(re.findall(r"\b((?:add|sub|mul|fma|div|rcp|sqrt)\.\S*f(?:32|64))", ptx))
    exact = {f"{name}.rn.{kind}" for name in ("add", "sub", "mul", "div", "rcp", "sqrt") for kind in ("f32", "f64")}
    assert operations <= exact  # without .rn, ptxas would be free to contract
    assert "adam" not in rule or {"div.rn.f32", "sqrt.rn.f32", "div.rn.f64", "sqrt.rn.f64"} <= operations


class Work(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_void_p), ("chunks", ctypes.c_void_p), ("count", ctypes.c_int)]


class ScalarTable(ctypes.Structure):
    _fields_ = [("values", ctypes.c_void_p), ("columns", ctypes.c_int), ("coefficient", ctypes.c_void_p)]


class MatrixWork(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_void_p), ("words", ctypes.c_void_p), ("scratch", ctypes.c_void_p)]


class PlayedModule:
    """Takes the place of ``fusedopt._C.cuda``."""

    Work, ScalarTable, MatrixWork = Work, ScalarTable, MatrixWork

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        self.library.sum_squares.restype = ctypes.c_double
        self.library.step.restype = self.library.step_matrices.restype = ctypes.c_bool
        self.library.make_schedule.restype = ctypes.c_void_p
        self.library.scratch_of.restype = self.library.words_of.restype = ctypes.c_int64
        self.CHUNK, self.ROW_WORDS = self.library.chunk(), self.library.row_words()

    def Schedule(self, rule, fp64, rows, count):
        return PlayedSchedule(self.library, rule, fp64, rows, count)

    def Place(self, device, stream):
        return None

    def step(self, rule, fp64, coded, work, scalars, place):
        assert self.library.step(rule.encode(), fp64, coded, ctypes.byref(work), ctypes.byref(scalars))

    def step_matrices(self, rule, fp64, schedule, work, scalars, place):
        arguments = rule.encode(), fp64, schedule.address, ctypes.byref(work), ctypes.byref(scalars)
        assert self.library.step_matrices(*arguments)

    def sum_squares(self, fp64, work, partials, total, place):
        ctypes.c_double.from_address(total).value = self.library.sum_squares(fp64, ctypes.byref(work))

    def upload(self, source, words, target, place):
        ctypes.memmove(target, source, 8 * words)


class PlayedSchedule:
    def __init__(self, library, rule, fp64, rows, count):
        self.library = library
        self.address = ctypes.c_void_p(library.make_schedule(rule.encode(), fp64, ctypes.c_void_p(rows), count))
        self.scratch = library.scratch_of(self.address)

    def __len__(self):
        return self.library.words_of(self.address)

    def __del__(self):
        self.library.free_schedule(self.address)

    def write(self, target):
        self.library.write_schedule(self.address, ctypes.c_void_p(target))


@pytest.fixture(scope="module")
def played_module(tmp_path_factory):
    path = tmp_path_factory.mktemp("played") / "cuda_host.so"
    host = "-Xcompiler=-O1,-fPIC,-ffp-contract=off,-fno-strict-aliasing"
    run(
        NVCC,
        "-x",
        "c++",
        "-std=c++17",
        f"-I{CSRC}",
        host,
        "-shared",
        Path(__file__).parent / "cuda_host.cpp",
        "-o",
        path,
    )
    return PlayedModule(path)


@pytest.fixture
def played(played_module, monkeypatch):
    """Backend "cuda" on CPU tensors."""
    if native.missing:
        pytest.skip(native.missing)
    monkeypatch.setattr(native._C, "cuda", played_module, raising=False)
    monkeypatch.setattr(Cuda, "unavailable", staticmethod(lambda device: None))
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)


SIZES = (0, 1, 7, 8, 9, 15, 2047, 2056, 8191, 8192, 8193, 16404)
# Of one row or column, of odd and even widths, many small matrices, and one of several tiles each way.
MATRICES = ((), (1, 9), (9, 1), (3, 0), (33, 70), (130, 3), (64, 96), (17, 5, 3, 3), (140, 300))
SHAPES = (*((size,) for size in SIZES), *MATRICES)


def slices(flat, start):
    """Neighbours in one buffer, a multiple of 8 elements apart: aligned if ``start`` is, with gaps nobody may write."""
    for shape in SHAPES:
        size = math.prod(shape)
        yield flat[start : start + size].view(shape)
        start += (size + 15) // 8 * 8


def normal(size, generator):
    return torch.randn(size, generator=generator)


def rough(size, generator):
    """Many magnitudes; and blocks of zeros, of zeros but a tiny number, and with one far beyond the others."""
    x = normal(size, generator) * (2 * normal(size, generator)).exp()
    block, first = torch.arange(size) // 256 % 4, torch.arange(size) % 256 == 3
    x[((block == 1) | (block == 2)) & ~first] = 0
    return torch.where(first, torch.tensor([1.0, 0.0, 1e-30, 1e8])[block], x)


def train(case, weight, grad, backend, steps=2, draw=normal):
    """The buffers that hold all parameters after these steps, the gaps between them included, and the states."""
    generator = torch.Generator().manual_seed(0)
    buffers = [torch.randn(100_000, generator=generator).to(weight) for _ in range(2)]
    params = [p.requires_grad_() for start, b in enumerate(buffers) for p in slices(b, start)]
    optimizer = case.build(params)
    with fusedopt.use_backend(backend):
        for step in range(steps):
            for p in params:
                p.grad_dtype = grad
                offset = step % 2  # the gradients of step 1 are misaligned
                p.grad = draw(p.numel() + offset, generator).to(grad)[offset:].view(p.shape)
            optimizer.step()
    return buffers, [optimizer.state[p].get(k) for p in params for k in sorted(optimizer.state.get(p, ()))]


def tolerance(case, dtype, weight):
    """How far a sum's order may move a value, in parts of the largest one: each has a few thousand terms.

    One element of a half-precision state that is rounded the other way moves a mean over its row.
    """
    if not case.sums or not dtype.is_floating_point:
        return 0
    if dtype.itemsize == 2:
        return torch.finfo(dtype).eps
    return torch.finfo(weight).eps / 8 if weight.itemsize == 2 else 16 * torch.finfo(dtype).eps


def is_built(case):
    """Whether the case's rule is in the build; what is composed with blocks runs on Triton instead."""
    optimizer = case.build([p := torch.zeros(4, 3)])
    return not optimizer.layout(optimizer.param_groups[0], p)[0].whole


@pytest.mark.parametrize("dtypes", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("case", [*filter(is_built, CASES)], ids=str)
def test_played_kernels_equal_eager(case, dtypes, played):
    """Bit for bit, unless the rule adds."""
    weight, grad = dtypes
    want, want_states = train(case, weight, grad, "eager")
    got, got_states = train(case, weight, grad, "cuda")
    # Clipping adds squares in another order, which in float64 reaches the result.
    clipped = 1e-14 if "max_grad_norm" in case.options and weight == torch.float64 else 0
    for p, q in zip(got + got_states, want + want_states, strict=True):
        largest = q.abs().max().item() if q.numel() else 0
        torch.testing.assert_close(p, q, rtol=clipped, atol=max(clipped, tolerance(case, q.dtype, weight) * largest))


def test_played_maximum_keeps_nan(played):
    results = []
    for backend in ("eager", "cuda"):
        p = torch.ones(40, 300, requires_grad=True)
        p.grad = torch.arange(12000.0).view(40, 300)
        p.grad[7, 11] = math.nan
        optimizer = fusedopt.SM3([p])
        with fusedopt.use_backend(backend):
            optimizer.step()
        results.append([p.detach(), *(optimizer.state[p][key] for key in sorted(optimizer.state[p]))])
    torch.testing.assert_close(*results, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("weight", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("state_format", ["fp32", "bf16"])
def test_played_kernels_mix_dtypes(weight, state_format, played):
    case = CASES[0].__class__(fusedopt.AdamW, {"state_format": state_format})
    (want, want_states), (got, got_states) = (train(case, weight, weight, name) for name in ("eager", "cuda"))
    assert all(torch.equal(p, q) for p, q in zip(got + got_states, want + want_states, strict=True))


WEIGHTS = {torch.bfloat16: ("stochastic", "kahan", "split24", "split32"), torch.float16: ("stochastic", "kahan")}
CODED = [
    *((Case(fusedopt.AdamW, {"state_format": f}), w) for f in ("8bit", "bf16") for w in (torch.float32, torch.float64)),
    (Case(fusedopt.AdamW, {"state_format": "8bit", "state_rounding": "nearest", "amsgrad": True}), torch.bfloat16),
    (Case(fusedopt.Lion, {"state_format": "8bit"}), torch.bfloat16),
    *((Case(fusedopt.AdamW, {"weight_format": f, "state_format": "8bit"}), w) for w in WEIGHTS for f in WEIGHTS[w]),
    *((Case(fusedopt.SGD, {"weight_format": f, "lr": 1e-5}), w) for w in WEIGHTS for f in WEIGHTS[w]),
]


@pytest.mark.parametrize("grad", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("case", "weight"), CODED, ids=str)
def test_played_codecs_equal_eager(case, weight, grad, played):
    """Three steps: the last has aligned gradients and a state that is not zero."""
    (want, want_states), (got, got_states) = (train(case, weight, grad, b, 3, rough) for b in ("eager", "cuda"))
    for p, q in zip(got + got_states, want + want_states, strict=True):
        assert torch.equal(p, q)
        assert not p.is_floating_point() or p.isfinite().all()


def test_chunk_map_covers_every_element_once():
    sizes = [0, 1, 5, 10, 11, 0, 23]
    chunks = [tuple(pair) for pair in chunk_map(sizes, 5).tolist()]
    assert chunks == [(row, index) for row, size in enumerate(sizes) for index in range(-(-size // 5))]
    assert all(a < b for a, b in pairwise(chunks))
    assert chunk_map([], 5).shape == (0, 2)
