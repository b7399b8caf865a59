"""Blocks that add up: the same bits again on the C++ engine, on any number of threads, which share large tensors."""

import pytest
import torch
from block_sets import build
from conftest import assert_same_bits, parameters, train

import fusedopt
from fusedopt import backends, emit
from fusedopt.backends import compiler

pytestmark = pytest.mark.skipif(bool(backends.unavailable("cpu")), reason=str(backends.unavailable("cpu")))

SETS = [
    {"max_grad_norm": 0.5, "agc": 0.1, "cautious": "rescaled"},
    {"centralize": True, "rms_clip": 0.5, "trust_ratio": "row"},
    {"normalize": "row", "trust_ratio": "tensor"},
    {"soft_clip": 1e-3, "normalize": "layer", "cautious": 0.3},
    {"max_grad_norm": 0.5, "decay": "stable", "weight_decay": 0.1},
    {"normalize": "tensor", "decay": "cpr", "cpr_bound": ("dependent", 0.9)},
]
# All threads share a tensor of 2**20 elements; of smaller ones each takes some.
SHAPES = [(1100, 1000), (2**20 + 5,), (3, 700, 600), (7, 5), (300, 70), (11,), ()]


@pytest.fixture(scope="module")
def compiled():
    """All texts of these sets in one library, compiled quickly rather than well."""
    rules = {optimizer.layout(optimizer.param_groups[0], p)[0] for optimizer, params in map(made, SETS) for p in params}
    new = [rule for rule in rules if emit.kernel_name(rule) not in backends.native.rules()]
    compiler.load(sorted(new, key=lambda rule: rule.name), torch.float32, ["-O1"])


def made(options):
    params = [p.detach() for p in parameters(SHAPES)]
    return build(options, params), params


def trained(options, threads):
    """Parameters and states after some steps on so many threads."""
    optimizer, params = made(options)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with fusedopt.use_backend("cpu"):
            train(optimizer, params, 2)
    finally:
        torch.set_num_threads(before)
    return [*params, *(x for p in params for _, x in sorted(optimizer.state[p].items()))]


@pytest.mark.parametrize("options", SETS, ids=lambda options: "-".join(options))
def test_two_runs_and_any_number_of_threads_are_equal(options, compiled):
    expected = trained(options, 1)
    for threads in (1, 2, 2):
        assert_same_bits(trained(options, threads), expected)
