import io
import math

import pytest
import torch
from conftest import parameters, set_gradients
from torch.optim.lr_scheduler import ConstantLR, SequentialLR

import fusedopt

RATES = (0.5, 0.02)  # the initial rates of two groups
CASES = {
    "warm-up": (fusedopt.PiecewiseLinearLR, {"milestones": {4: 1.0, 10: 0.25}},
                [0, 0.25, 0.5, 0.75, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.25, 0.25]),
    "from a factor": (fusedopt.PiecewiseLinearLR, {"milestones": {2: 0.0, 0: 1.0, 4: 2.0}}, [1, 0.5, 0, 1, 2, 2, 2]),
    "one milestone": (fusedopt.PiecewiseLinearLR, {"milestones": {0: 3.0}}, [3, 3, 3]),
    "inverse time": (fusedopt.InverseTimeLR, {"rate": 0.5}, [1 / (1 + t / 2) for t in range(12)]),
    "inverse square": (fusedopt.InverseSquareLR, {"rate": 0.5}, [(1 / (1 + t / 2)) ** 2 for t in range(12)]),
    "no decay": (fusedopt.InverseTimeLR, {"rate": 0}, [1, 1, 1]),
}  # fmt: skip
schedules = pytest.mark.parametrize(("cls", "options", "factors"), CASES.values(), ids=CASES)


def optimizer_of_two_groups(cls=fusedopt.SGD):
    params = parameters([(3,), (2,)])
    groups = [{"params": [p], "lr": rate} for p, rate in zip(params, RATES, strict=True)]
    return cls(groups), params


def rates(optimizer, schedule, steps):
    """The rates of both groups at every step, and what ``get_last_lr`` says of them."""
    found = []
    for t in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        assert schedule.get_last_lr() == found[-1]
        optimizer.step()
        if t + 1 < steps:
            schedule.step()
    return found


@schedules
def test_factors(cls, options, factors):
    optimizer, _ = optimizer_of_two_groups()
    found = rates(optimizer, cls(optimizer, **options), len(factors))
    assert found == [[rate * factor for rate in RATES] for factor in factors]


@schedules
def test_a_saved_schedule_goes_on(cls, options, factors):
    optimizer, _ = optimizer_of_two_groups()
    schedule = cls(optimizer, **options)
    rates(optimizer, schedule, 2)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), schedule.state_dict()], file)
    again, _ = optimizer_of_two_groups()
    resumed = cls(again, **{key: value if key == "rate" else {0: 9.0} for key, value in options.items()})
    file.seek(0)
    for owner, saved in zip((again, resumed), torch.load(file, weights_only=True), strict=True):
        owner.load_state_dict(saved)
    again.step()
    resumed.step()
    assert rates(again, resumed, 1) == [[rate * factors[2] for rate in RATES]]


@schedules
def test_a_schedule_may_follow_another(cls, options, factors):
    optimizer, _ = optimizer_of_two_groups()
    first = ConstantLR(optimizer, factor=0.5, total_iters=100)
    sequence = SequentialLR(optimizer, [first, cls(optimizer, **options)], milestones=[3])
    found = rates(optimizer, sequence, 3 + len(factors))
    for pair, factor in zip(found, [0.5] * 3 + factors, strict=True):
        assert pair == pytest.approx([rate * factor for rate in RATES], rel=1e-15, abs=0)


def test_the_first_step_of_a_warm_up_moves_states_and_no_weight():
    optimizer, params = optimizer_of_two_groups(fusedopt.AdamW)
    fusedopt.PiecewiseLinearLR(optimizer, {4: 1.0})
    before = [p.detach().clone() for p in params]
    set_gradients(params, 0)
    with fusedopt.use_backend("eager"):
        optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(params, before, strict=True))
    assert all(optimizer.state[p]["exp_avg"].abs().sum() > 0 for p in params)


def test_a_rate_that_is_a_tensor_stays_one():
    (p,) = parameters([(3,)])
    lr = torch.tensor(0.5)
    optimizer = fusedopt.AdamW([p], lr=lr)
    schedule = fusedopt.InverseTimeLR(optimizer, 1.0)
    set_gradients([p], 0)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25


@pytest.mark.parametrize("cls", [fusedopt.InverseTimeLR, fusedopt.InverseSquareLR])
def test_shrinkage_is_amos(cls):
    """Without gradients weights shrink by rho_t, whose recurrence is S += p sqrt(2 rho), factor exp(-2 S)."""
    alpha0, p, sigma, steps = 1e-2, 0.5, 0.3, 4000
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = fusedopt.AdamW([weight], lr=alpha0 * sigma, weight_decay=alpha0 / (2 * sigma))
    schedule = cls(optimizer, alpha0 * p * (2 if cls is fusedopt.InverseTimeLR else 1))
    expected, area = 1.0, 0.0
    weight.grad = torch.zeros_like(weight)
    with fusedopt.use_backend("eager"):
        for _ in range(steps):
            rho = alpha0**2 / 2 * math.exp(-2 * area)
            cosine = p * math.exp(-area) if cls is fusedopt.InverseTimeLR else p
            expected, area = expected * (1 - rho), area + cosine * math.sqrt(2 * rho)
            optimizer.step()
            schedule.step()
    # sums and integrals of the falling rates differ by half their first term, as a share of 1 / (alpha0 p)
    assert 1 - weight.item() == pytest.approx(1 - expected, rel=alpha0 * p)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(alpha0 * sigma * math.exp(-2 * area), rel=alpha0)


REFUSED = [
    (fusedopt.PiecewiseLinearLR, {}, "milestones is empty; give at least one"),
    (fusedopt.PiecewiseLinearLR, {0.5: 1.0}, "Invalid milestone 0.5: 1.0; give whole steps"),
    (fusedopt.PiecewiseLinearLR, {-1: 1.0}, "Invalid milestone -1: 1.0"),
    (fusedopt.PiecewiseLinearLR, {3: -1.0}, "Invalid milestone 3: -1.0"),
    (fusedopt.PiecewiseLinearLR, {3: math.inf}, "Invalid milestone 3: inf"),
    (fusedopt.InverseTimeLR, -1e-3, "Invalid rate: -0.001"),
    (fusedopt.InverseSquareLR, math.nan, "Invalid rate: nan"),
]


@pytest.mark.parametrize(("cls", "argument", "message"), REFUSED)
def test_refusals(cls, argument, message):
    optimizer, _ = optimizer_of_two_groups()
    with pytest.raises(ValueError, match=message):
        cls(optimizer, argument)
