"""What only a GPU can show: launches, streams, graphs, no waiting. The tables of values are in test_rules.py."""

import math

import pytest
import torch
from references import CASES

import fusedopt
from fusedopt import backends

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
SIZES = (1, 3, 7, 8, 9, 255, 256, 257, 2047, 2049, 65537, 300_001)
GPU = torch.device("cuda")


@pytest.fixture(params=["cuda", "triton"])
def backend(request):
    reason = backends.unavailable(request.param, GPU)
    if reason:
        pytest.skip(reason)
    with fusedopt.use_backend(request.param):
        yield request.param


def tensors(sizes, dtype, offset=0, seed=0):
    """Tensors that start ``offset`` elements after an aligned address."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n + offset, generator=generator).to(GPU, dtype)[offset:] for n in sizes]


def parameters(sizes, dtype, offset=0):
    return [t.detach().requires_grad_() for t in tensors(sizes, dtype, offset)]


def step(optimizer, params, seed, offset=0):
    for p, g in zip(params, tensors([p.numel() for p in params], params[0].dtype, offset, seed), strict=True):
        p.grad = g
    optimizer.step()


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_odd_sizes_and_addresses(backend, dtype, offset):
    results = []
    for name in ("eager", backend):
        params = parameters(SIZES, dtype, offset)
        with fusedopt.use_backend(name):
            optimizer = fusedopt.AdamW(params, cautious=True, weight_decay=0.1)
            for seed in range(1, 4):
                step(optimizer, params, seed, offset)
        results.append(params)
    assert all(torch.equal(p, q) for p, q in zip(*results, strict=True))


# Of one row or column, narrow and odd ones, many small ones, and some of several tiles each way.
MATRICES = ((), (1000,), (1, 9), (9, 1), (33, 70), (130, 3), (64, 32, 3, 3), (300, 520), (1000, 1023), (5, 40_000))


def stepped_matrices(case, dtype, name, steps=3):
    generator = torch.Generator().manual_seed(0)
    params, *grads = ([torch.randn(s, generator=generator).to(GPU, dtype) for s in MATRICES] for _ in range(1 + steps))
    params = [p.requires_grad_() for p in params]
    with fusedopt.use_backend(name):
        optimizer = case.build(params)
        for batch in grads:
            for p, g in zip(params, batch, strict=True):
                p.grad = g
            optimizer.step()
    states = [state for p in params for key, state in sorted(optimizer.state[p].items()) if key != "step"]
    return [p.detach() for p in params] + states


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("case", [case for case in CASES if case.sums or case.cls is fusedopt.SM3], ids=str)
def test_matrices_equal_eager_to_rounding(backend, case, dtype):
    """In parts of the largest value. A sign may differ where its value is near zero."""
    got, again, want = (stepped_matrices(case, dtype, name) for name in (backend, backend, "eager"))
    assert all(torch.equal(p, q) for p, q in zip(got, again, strict=True))
    for p, q in zip(got, want, strict=True):
        if q.dtype == torch.uint8:
            assert (p != q).float().mean() <= 1e-3
            continue
        half = dtype.itemsize == 2  # an element of a state that is rounded the other way moves a mean over its row
        tolerance = torch.finfo(dtype).eps * (2 if q.dtype == dtype else 1 / 8) if half else 64 * torch.finfo(dtype).eps
        far = (p - q).abs() > tolerance * q.abs().max()
        assert far.float().mean() <= (1e-4 if "Lion" in str(case) else 0)


def test_neighbours_are_untouched(backend):
    memory = torch.full((4096,), 7.0, device=GPU)
    params = [memory[5:1003].detach().requires_grad_(), memory[2000:2001].detach().requires_grad_()]
    optimizer = fusedopt.AdamW(params, lr=1.0)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    inside = torch.zeros(4096, dtype=torch.bool, device=GPU)
    inside[5:1003] = inside[2000:2001] = True
    assert (memory[~inside] == 7).all()
    assert (memory[inside] != 7).all()


def test_one_launch_a_step(backend):
    params = parameters([1000] * 300, torch.float32)
    optimizer = fusedopt.AdamW(params)
    step(optimizer, params, 1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        optimizer.step()
        torch.cuda.synchronize()
    kernels = [e for e in profile.events() if "step" in e.name and "Optimizer" not in e.name]
    assert len(kernels) == 1, [e.name for e in profile.events()]


@pytest.mark.parametrize("options", [{}, {"max_grad_norm": 1.0}], ids=str)
@pytest.mark.parametrize("optimizer_class", [fusedopt.AdamW, fusedopt.Adafactor])
def test_no_synchronisation(backend, optimizer_class, options):
    params = [p.requires_grad_() for p in shaped([(1000,), (70, 11)], 0)]
    optimizer = optimizer_class(params, **options)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_side_stream(backend):
    results = []
    for stream in (torch.cuda.default_stream(), torch.cuda.Stream()):
        params = parameters([100_000], torch.float32)
        optimizer = fusedopt.AdamW(params)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for seed in range(1, 6):
                step(optimizer, params, seed)
        torch.cuda.synchronize()
        results.append(params[0])
    assert torch.equal(*results)


def shaped(shapes, seed):
    flat = tensors([math.prod(shape) for shape in shapes], torch.float32, seed=seed)
    return [x.view(shape) for x, shape in zip(flat, shapes, strict=True)]


@pytest.mark.filterwarnings("ignore:This instance was constructed with capturable")
@pytest.mark.parametrize("optimizer_class", [fusedopt.AdamW, fusedopt.Adafactor, fusedopt.SMMF, fusedopt.SM3])
def test_captured_steps_equal_plain_ones(backend, optimizer_class):
    """A graph of one step, replayed with new gradients and another lr, equals stepping without a graph."""
    shapes = (5000,), (33,), (300, 200), (7, 3, 3)
    grads = [shaped(shapes, seed) for seed in range(1, 9)]

    def run(captured):
        params = [p.requires_grad_() for p in shaped(shapes, 0)]
        lr = torch.tensor(1e-2, device=GPU)
        optimizer = optimizer_class(params, lr=lr, capturable=True)
        for p in params:
            p.grad = torch.zeros_like(p)

        def load(batch):
            for p, g in zip(params, batch, strict=True):
                p.grad.copy_(g)

        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for batch in grads[:3]:
                load(batch)
                optimizer.step()
        torch.cuda.synchronize()
        if captured:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                optimizer.step()
        for i, batch in enumerate(grads[3:]):
            lr.fill_(1e-2 / (i + 1))
            load(batch)
            if captured:
                graph.replay()
            else:
                optimizer.step()
        torch.cuda.synchronize()
        return params, [optimizer.state[p]["step"] for p in params if optimizer.counts_steps]

    (plain, plain_steps), (captured, captured_steps) = run(False), run(True)
    assert all(torch.equal(p, q) for p, q in zip(plain, captured, strict=True))
    assert [s.item() for s in captured_steps] == [s.item() for s in plain_steps] == [8] * len(plain_steps)


def test_capture_without_capturable_is_refused():
    params = parameters((10,), torch.float32)
    optimizer = fusedopt.AdamW(params)
    step(optimizer, params, 1)
    with pytest.raises(RuntimeError, match="capturable is False"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        optimizer.step()


def test_moving_the_model(backend):
    model = torch.nn.Linear(5, 3)
    optimizer = fusedopt.AdamW(model.parameters())
    with fusedopt.use_backend("eager"):
        model(torch.ones(1, 5)).sum().backward()
        optimizer.step()
    saved = optimizer.state_dict()
    model.to(GPU)
    optimizer.load_state_dict(saved)
    model(torch.ones(1, 5, device=GPU)).sum().backward()
    optimizer.step()
    assert all(state["exp_avg"].is_cuda and state["step"].item() == 2 for state in optimizer.state.values())
