import pytest
import torch
from conftest import STATEFUL, parameters, train
from references import CASES, Case

import fusedopt
from fusedopt.registry import SUFFIXES

FORMATS = [Case(cls, options) for cls in (fusedopt.AdamW, fusedopt.Lion) for options in SUFFIXES.values()]
SHAPES = ((64, 48), (5,), (), (8, 3, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", [*CASES, *STATEFUL, *FORMATS], ids=str)
def test_what_is_forecast_is_what_a_step_makes(case, dtype):
    params = parameters(SHAPES, dtype)
    optimizer = case.cls(params, **case.options)
    before = fusedopt.memory_usage(optimizer)
    assert not optimizer.state or not any(optimizer.state.values())
    with fusedopt.use_backend("eager"):
        train(optimizer, params, steps=1)
    assert before == fusedopt.memory_usage(optimizer)
    kept = sum(value.nbytes for record in optimizer.state.values() for value in record.values())
    weights = (64 * 48 + 5 + 1 + 8 * 3 * 4) * dtype.itemsize
    assert (before["parameters"], before["gradients"]) == (weights, weights)
    assert before["total"] == 2 * weights + kept


EIGHT_BITS = pytest.mark.skipif("8bit" not in SUFFIXES, reason="no 8-bit state in this build")
EXPECTED = [  # of one (64, 48) float32 parameter, and one step count of 4 bytes where steps are counted
    ("adamw", {}, {"exp_avg": 12288, "exp_avg_sq": 12288, "step": 4}),
    ("adamw_bf16", {}, {"exp_avg": 6144, "exp_avg_sq": 6144, "step": 4}),
    ("lion", {}, {"exp_avg": 12288}),
    ("sgd", {}, {}),
    ("sgd", {"momentum": 0.9}, {"momentum_buffer": 12288}),
    ("adafactor", {}, {"row_var": 256, "col_var": 192, "step": 4}),
    ("lion_nnmf", {}, {"exp_avg_row": 256, "exp_avg_col": 192, "exp_avg_sign": 384}),
    ("lbfgs", {}, {}),
    ("sgd", {"accumulate": 4}, {"accum": 12288}),
    ("sgd", {"fractional": (0.5, 3)}, {"grad_hist": 3 * 12288}),
    ("lion", {"accumulate": 2, "fractional": (0.5, 1)}, {"exp_avg": 12288, "accum": 12288, "grad_hist": 12288}),
    pytest.param("lion_8bit", {}, {"exp_avg": 3072, "exp_avg_scale": 4 * 12, "step": 4}, marks=EIGHT_BITS),
    pytest.param("adagrad_8bit", {}, {"sum": 3072, "sum_scale": 4 * 12, "step": 4}, marks=EIGHT_BITS),
]


@pytest.mark.parametrize(("name", "options", "states"), EXPECTED)
def test_bytes_by_kind(name, options, states):
    usage = fusedopt.memory_usage(fusedopt.create_optimizer(name, parameters([(64, 48)]), **options))
    assert usage == {"parameters": 12288, "gradients": 12288, **states, "total": 24576 + sum(states.values())}


def test_frozen_parameters_have_neither_gradients_nor_state():
    weight, frozen = parameters([(8,), (100,)])
    usage = fusedopt.memory_usage(fusedopt.Lion([weight, frozen.requires_grad_(False)]))
    assert usage == {"parameters": 432, "gradients": 32, "exp_avg": 32, "total": 496}


def test_a_model_without_memory_can_be_asked():
    with torch.device("meta"):
        model = torch.nn.Linear(100_000, 1_000_000, bias=False)
    usage = fusedopt.memory_usage(fusedopt.AdamW(model.parameters()))
    assert usage["total"] == 16 * 10**11 + 4


def test_torchs_own_state_counts_once_it_is_there():
    (p,) = parameters([(6,)])
    optimizer = fusedopt.LBFGS([p])

    def closure():
        optimizer.zero_grad()
        loss = (p**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    usage = fusedopt.memory_usage(optimizer)
    assert (usage["parameters"], usage["gradients"], usage["d"], usage["prev_flat_grad"]) == (24, 24, 24, 24)
    assert usage["old_dirs"] == usage["old_stps"] == 24 * len(optimizer.state[p]["old_dirs"]) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_and_histories_of_gradients_count_before_within_and_after_a_window(dtype):
    params = parameters(SHAPES, dtype)
    optimizer = fusedopt.AdamW(params, accumulate=2, fractional=(0.5, 3))
    seen = []
    with fusedopt.use_backend("eager"):
        for steps in (0, 1, 1, 1, 1):
            train(optimizer, params, steps)
            seen.append(fusedopt.memory_usage(optimizer))
    elements = sum(p.numel() for p in params)
    assert (seen[0]["accum"], seen[0]["grad_hist"]) == (4 * elements, 3 * 4 * elements)
    assert seen == [seen[0]] * 5
