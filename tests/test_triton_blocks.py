"""Building blocks on the Triton engine: every allowed pair equals eager, and two runs each other."""

import pytest
import torch
from block_sets import covering_sets, train
from triton_checks import compiles, needs_device, on_device, quietly, run_interpreted


@quietly
@needs_device
@on_device
@pytest.mark.parametrize("options", covering_sets(), ids=lambda options: "-".join(options))
def test_every_allowed_pair_equals_eager(options, device):
    runs = (train(options, backend, steps=3, device=device) for backend in ("triton", "eager"))
    for got, want in zip(*runs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


SUMS = [
    {"agc": 0.1, "centralize": True, "rms_clip": 0.5, "cautious": "rescaled"},
    {"max_grad_norm": 0.5, "trust_ratio": "row", "decay": "cpr", "cpr_bound": ("dependent", 0.9)},
]


@quietly
@needs_device
@on_device
@pytest.mark.parametrize("options", SUMS, ids=lambda options: "-".join(options))
def test_two_runs_are_equal(options, device):
    runs = (train(options, "triton", steps=3, device=device) for _ in range(2))
    for got, want in zip(*runs, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(got, want, strict=True))


@compiles
def test_interpreted():
    run_interpreted(__file__)
