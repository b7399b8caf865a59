"""What the tests share: the backends to run on, and one model under torch's optimizer and under ours."""

import pytest
import torch
from references import CASES, Case, ScalarsInFloat64

import fusedopt
from fusedopt import backends

SHAPES = ((7, 5), (5,), (), (0, 3), (1, 9))
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
TWINS = [case for case in CASES if case.reference is None or issubclass(case.reference, ScalarsInFloat64)]
STATEFUL = [
    Case(fusedopt.AdamW, {"lr": 0.03}),
    Case(fusedopt.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
]


@pytest.fixture(params=["eager", "cpu"])
def backend(request):
    """Runs the test once on every engine that steps CPU tensors."""
    reason = backends.unavailable(request.param, torch.device("cpu"))
    if reason:
        pytest.skip(f"backend {request.param!r}: {reason}")
    with fusedopt.use_backend(request.param):
        yield request.param


def parameters(shapes=SHAPES, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draws = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [draw.to(dtype).requires_grad_() for draw in draws]


def set_gradients(params, seed):
    """Fresh gradient tensors, as a backward pass after ``zero_grad()`` makes them."""
    for p, g in zip(params, parameters([p.shape for p in params], seed=1000 + seed), strict=True):
        p.grad = g.detach().to(p.dtype)


def train(optimizer, params, steps, start=0):
    for seed in range(start, start + steps):
        set_gradients(params, seed)
        optimizer.step()


def bits(tensor):
    """The bytes of the elements in logical order: equal for equal NaNs, different for 0.0 and -0.0."""
    return tensor.new_empty(tensor.numel()).copy_(tensor.detach().flatten()).view(torch.uint8)


def assert_same_bits(actual, expected):
    """Compares lists or dicts of tensors by dtype, shape and bytes."""
    actual, expected = (dict(enumerate(x)) if isinstance(x, list) else dict(x) for x in (actual, expected))
    assert actual.keys() == expected.keys()
    for key, tensor in actual.items():
        assert (tensor.dtype, tensor.shape) == (expected[key].dtype, expected[key].shape), key
        assert torch.equal(bits(tensor), bits(expected[key])), key


def records(optimizer, params):
    """The state records in the order of ``params``, without creating any."""
    return [dict(optimizer.state.get(p, {})) for p in params]


def assert_has_torchs_keys(group, expected):
    """A group has every key of torch's, with the same value; it may have more."""
    expected = {key: value for key, value in expected.items() if key != "params"}
    assert {key: group.get(key) for key in expected} == expected


class Twins:
    """Equal parameters under torch's optimizer and under ours, fed equal gradients."""

    def __init__(self, case, dtype=torch.float64, **more):
        self.theirs, self.ours = parameters(dtype=dtype), parameters(dtype=dtype)
        self.reference = case.reference_class(self.theirs, **{**case.options, **more})
        self.optimizer = case.cls(self.ours, **{**case.options, **more})
        self.steps = 0

    @property
    def sides(self):
        return (self.reference, self.theirs), (self.optimizer, self.ours)

    def step(self, count=1, prepare=lambda params: None):
        """Steps both sides; ``prepare`` may change the gradients of either before its step."""
        for _ in range(count):
            for optimizer, params in self.sides:
                set_gradients(params, self.steps)
                prepare(params)
                optimizer.step()
            self.steps += 1

    def records(self):
        """The state of torch's class and ours in its form; torch's Adagrad has some before the first step."""
        group = self.optimizer.param_groups[0]
        theirs = [record if record.get("step") != 0 else {} for record in records(self.reference, self.theirs)]
        ours = [record and self.optimizer.exported(group, record) for record in records(self.optimizer, self.ours)]
        return theirs, ours

    def assert_equal(self, check_dtype=True):
        """A step rounds about 16 times; in float64 that leaves no room for a wrong formula."""
        tolerance = 16 * self.steps * torch.finfo(self.theirs[0].dtype).eps
        torch.testing.assert_close(self.ours, self.theirs, rtol=tolerance, atol=tolerance)
        expected, found = self.records()
        check_dtype = check_dtype and not isinstance(self.reference, ScalarsInFloat64)
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, check_dtype=check_dtype)
