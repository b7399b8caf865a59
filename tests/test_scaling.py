import pytest
import torch
from conftest import assert_same_bits, parameters, records

import fusedopt

CLASSES = [fusedopt.AdamW, fusedopt.Adafactor, fusedopt.SGD, torch.optim.AdamW]


def problem(cls, **options):
    """Parameters, their optimizer, and a closure whose loss has gradients in powers of two times the parameters."""
    params = parameters([(4, 3), (5,)])
    optimizer = cls(params, lr=0.05, **options)

    def closure():
        optimizer.zero_grad()
        return sum((p**2).sum() for p in params)

    return params, optimizer, closure


@pytest.fixture(autouse=True)
def _eager():
    with fusedopt.use_backend("eager"):
        yield


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_scaled_step_is_a_step(cls, enabled):
    params, optimizer, closure = problem(cls)
    twins, reference, loss_of = problem(cls)
    scaler = torch.amp.GradScaler("cpu", enabled=enabled)
    for _ in range(5):
        found = fusedopt.scaled_step(optimizer, scaler, closure)
        expected = loss_of()
        expected.backward()
        reference.step()
        assert found.item() == expected.item()
    assert_same_bits(params, twins)  # the scale is a power of two: nothing is rounded


def test_a_loss_driven_step_gets_the_unscaled_loss():
    params, optimizer, closure = problem(fusedopt.AdaLo, kappa=1e-3)
    twins, reference, loss_of = problem(fusedopt.AdaLo, kappa=1e-3)
    for _ in range(3):
        fusedopt.scaled_step(optimizer, torch.amp.GradScaler("cpu"), closure)
        expected = loss_of()
        expected.backward()
        reference.step(loss=expected)
    assert optimizer.param_groups[0]["loss_ema"] == reference.param_groups[0]["loss_ema"] > 0
    assert_same_bits(params, twins)


def test_clipping_sees_the_gradients_without_the_scale():
    params, optimizer, closure = problem(fusedopt.SGD, max_grad_norm=0.5)
    before = torch.cat([p.detach().flatten() for p in params])
    fusedopt.scaled_step(optimizer, torch.amp.GradScaler("cpu"), closure)
    moved = torch.cat([p.detach().flatten() for p in params]) - before
    assert moved.norm().item() == pytest.approx(0.05 * 0.5, rel=1e-5)  # torch's coefficient has 1e-6 in its divisor


def test_an_overflow_changes_nothing_but_the_scale():
    params, optimizer, closure = problem(fusedopt.AdamW)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    fusedopt.scaled_step(optimizer, scaler, closure)
    before, states = (
        [p.detach().clone() for p in params],
        [{key: value.clone() for key, value in record.items()} for record in records(optimizer, params)],
    )
    loss = fusedopt.scaled_step(optimizer, scaler, lambda: closure() * torch.finfo(torch.float32).max)
    assert loss.isinf()
    assert_same_bits(params, before)
    for record, old in zip(records(optimizer, params), states, strict=True):
        assert_same_bits(record, old)
    assert scaler.get_scale() == 2.0**15


def test_closures_that_do_not_fit_are_refused():
    params, optimizer, closure = problem(fusedopt.AdamW)
    scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(ValueError, match="the closure must return it attached to its graph"):
        fusedopt.scaled_step(optimizer, scaler, lambda: closure().detach())
    with pytest.raises(ValueError, match="LBFGS evaluates its closure several times a step"):
        fusedopt.scaled_step(fusedopt.LBFGS(params), scaler, closure)
