"""What a rule remembers in its groups changes once a step, however many micro-batches make one."""

import copy

import pytest
import torch
from conftest import assert_same_bits, parameters, set_gradients

import fusedopt

WINDOWS = 5


def adalo_steps(losses, options, weights=None):
    """Parameters and ``loss_ema`` after ``WINDOWS`` windows of equal gradients, one for each of ``losses``."""
    params = parameters()
    optimizer = fusedopt.AdaLo(params, kappa=0.01, accumulate=len(losses), **options)
    for window in range(WINDOWS):
        set_gradients(params, window)
        for loss, weight in zip(losses, weights or [1.0] * len(losses), strict=True):
            optimizer.micro_batch_weight = weight
            optimizer.step(loss=loss)
    return params, optimizer


@pytest.mark.parametrize(
    ("losses", "weights", "mean"),
    [
        ((1.0, 1.0), None, 1.0),
        ((1.0, 3.0), None, 2.0),
        ((1.0, 5.0), (3.0, 1.0), 2.0),
        ((None, 2.0), None, 2.0),
        ((2.0, None), None, 2.0),
        ((7.0, 2.0), (0.0, 2.0), 2.0),
        ((None, None), None, None),
        ((2.0,), (0.0,), 2.0),  # weights are of the micro-batches of a window
    ],
)
@pytest.mark.parametrize("options", [{}, {"mode": "compliant"}, {"capturable": True}], ids=str)
def test_adalo_follows_the_mean_loss_of_a_window(losses, weights, mean, options, backend):
    losses = [torch.tensor(x) if options.get("capturable") and x is not None else x for x in losses]
    params, optimizer = adalo_steps(losses, options, weights)
    expected, plain = adalo_steps([mean], options)
    group = optimizer.param_groups[0]
    assert float(group["loss_ema"]) == float(plain.param_groups[0]["loss_ema"])
    assert "losses" not in group
    if weights is None:  # else the mean of the gradients is rounded
        assert_same_bits(params, expected)


def test_a_window_of_losses_survives_a_checkpoint(backend):
    """And a step that raises; a step with accumulate=1 drops them as it drops the sums."""
    ours, theirs = parameters(), parameters()
    first, second = (fusedopt.AdaLo(params, kappa=0.01, accumulate=2) for params in (ours, theirs))
    set_gradients(ours, 0)
    set_gradients(theirs, 0)
    first.step(loss=1.0)
    assert first.param_groups[0]["losses"] == (1.0, 1.0)
    assert first.param_groups[0]["loss_ema"] == 0.0
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    kept, ours[0].grad = ours[0].grad, torch.ones(7, 5).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        first.step(loss=100.0)
    ours[0].grad = kept
    for optimizer in (first, second):
        optimizer.step(loss=4.0)
        assert optimizer.param_groups[0]["loss_ema"] == pytest.approx(0.001 / 4.5, rel=1e-12)
    assert_same_bits(ours, theirs)
    first.step(loss=1.0)
    first.param_groups[0]["accumulate"] = 1
    first.step(loss=4.0)
    assert first.param_groups[0]["loss_ema"] == pytest.approx(0.999 * 0.001 / 4.5 + 0.001 / 6, rel=1e-12)
    assert "losses" not in first.param_groups[0]


def test_adaptive_memory_compares_the_step_sizes_of_steps(backend):
    ours, theirs = parameters(dtype=torch.float64), parameters(dtype=torch.float64)
    micro, plain = fusedopt.AMAdamW(ours, accumulate=2), fusedopt.AMAdamW(theirs)
    for seed, lr in enumerate((0.1, 0.05, 0.02, 0.01, 0.005)):
        for optimizer, params in ((micro, ours), (micro, ours), (plain, theirs)):
            optimizer.param_groups[0]["lr"] = lr
            set_gradients(params, seed)
            optimizer.step()
        assert micro.param_groups[0]["previous_lr"] == plain.param_groups[0]["previous_lr"] == lr
    assert_same_bits(ours, theirs)
