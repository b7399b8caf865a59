"""What is special in single rules: scalars that torch keeps as state, initial values, edges, promises of papers."""

import copy
import math

import pytest
import torch
from conftest import assert_same_bits, parameters, records, set_gradients, train

import fusedopt
from fusedopt import backends
from fusedopt.backends import native
from fusedopt.rules import nadam


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize("momentum_decay", [0.0, 1e-9, 4e-3, 0.5, 100.0])
def test_momentum_product_in_closed_form(beta1, momentum_decay):
    group = {"betas": (beta1, 0.999), "momentum_decay": momentum_decay}
    expected = 1.0
    for t in range(1, 1000):
        expected *= nadam.momentum(group, t)
        assert nadam.momentum_product(group, float(t)) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cls", [torch.optim.NAdam, torch.optim.ASGD])
def test_scalars_of_torchs_state_are_saved_and_left_out(backend, cls, dtype):
    """Whatever torch rounded them to: from a checkpoint on, the step count decides."""
    params, theirs = parameters(dtype=dtype), parameters(dtype=dtype)
    optimizer, reference = getattr(fusedopt, cls.__name__)(params), cls(theirs)
    train(optimizer, params, 3)
    train(reference, theirs, 3)
    extra = {"mu_product"} if cls is torch.optim.NAdam else {"eta", "mu"}
    saved, expected = optimizer.state_dict()["state"], reference.state_dict()["state"]
    for i, p in enumerate(params):
        assert saved[i].keys() - optimizer.state[p].keys() == extra
        for key in extra:
            assert float(saved[i][key]) == pytest.approx(float(expected[i][key]), rel=1e-6)
    optimizer.load_state_dict(copy.deepcopy(reference.state_dict()))
    assert all(extra.isdisjoint(record) for record in records(optimizer, params))


@pytest.mark.parametrize(("cls", "key"), [(fusedopt.NAdam, "betas"), (fusedopt.ASGD, "lr")])
def test_scalars_of_the_state_follow_tensor_hyperparameters(backend, cls, key):
    values = {"betas": (0.5, 0.75), "lr": 0.25}
    as_tensor = {"betas": (torch.tensor(0.5), torch.tensor(0.75)), "lr": torch.tensor(0.25)}
    saved = []
    for value in (values[key], as_tensor[key]):
        params = parameters()
        optimizer = cls(params, **{key: value})
        train(optimizer, params, 2)
        saved.append(optimizer.state_dict()["state"][0])
    assert_same_bits(*saved)


@pytest.mark.skipif(bool(native.missing), reason=str(native.missing))
def test_rules_that_are_not_compiled_run_on_eager_with_a_warning():
    """Rank-1 forms are compiled for few rules; the same holds for rules that users write."""
    (p,) = parameters(((6, 4),))
    p.grad = torch.ones_like(p)
    optimizer = fusedopt.Adagrad([p], state_format="nnmf")
    with (
        fusedopt.use_backend("cpu"),
        pytest.raises(RuntimeError, match="'cpu' cannot step rule 'adagrad_nnmf': it is not compiled into fusedopt"),
    ):
        optimizer.step()
    backends._warn_of_eager.cache_clear()
    with pytest.warns(UserWarning, match="rule 'adagrad_nnmf' is not compiled into fusedopt, so the eager engine"):
        optimizer.step()
    assert optimizer.state[p]["step"] == 1


def test_adagrad_starts_rank_1_sums_at_its_initial_value():
    """A constant is of rank 1, and so is the sum after a gradient whose square is."""
    params, dense = parameters(((6, 4), (5,))), parameters(((6, 4), (5,)))
    options = dict(initial_accumulator_value=0.5, lr=0.1)
    for state_format, own in (("nnmf", params), ("param", dense)):
        optimizer = fusedopt.Adagrad(own, state_format=state_format, **options)
        for p in own:
            p.grad = torch.full_like(p, -0.5)
        with fusedopt.use_backend("eager"):
            optimizer.step()
            optimizer.step()
    torch.testing.assert_close(params, dense, rtol=1e-6, atol=0)


@pytest.mark.parametrize("lr", [0.25, torch.tensor(0.25), torch.tensor([0.25])], ids=str)
def test_rprop_starts_at_the_present_lr(backend, lr):
    (p,) = parameters(((5,),))
    optimizer = fusedopt.Rprop([p], lr=7.0)
    optimizer.param_groups[0]["lr"] = lr
    before = p.detach().clone()
    p.grad = torch.tensor([1.0, -2.0, 0.0, 1e-30, -1e30])
    optimizer.step()
    assert torch.equal(p, before - 0.25 * p.grad.sign())
    assert torch.equal(optimizer.state[p]["step_size"], torch.full((5,), 0.25))


def test_rmsprop_takes_a_negative_variance_as_zero(backend):
    """Equal gradients have none, up to rounding, which torch may turn into NaN."""
    (p,) = parameters(((1000,),))
    optimizer = fusedopt.RMSprop([p], centered=True, eps=1.0, alpha=0.5)
    g = p.detach().clone()
    for _ in range(40):
        p.grad = g.clone()
        optimizer.step()
    record = optimizer.state[p]
    assert (record["square_avg"] < record["grad_avg"] ** 2).any()
    torch.testing.assert_close(p.detach(), g - 40 * 0.01 * g, rtol=0.2, atol=0)


def test_asgd_averages_what_it_wrote(backend):
    params = parameters()
    optimizer = fusedopt.ASGD(params, lr=0.1, t0=0)
    sums = [torch.zeros_like(p) for p in params]
    for t in range(5):
        train(optimizer, params, 1, start=t)
        sums = [total + p.detach() for total, p in zip(sums, params, strict=True)] if t else sums
    averages = [optimizer.state[p]["ax"] for p in params]
    del averages[3], sums[3]  # empty
    assert math.isclose(1 / 5, float(optimizer.state_dict()["state"][0]["mu"]))
    torch.testing.assert_close(averages, [total / 4 for total in sums], rtol=1e-6, atol=1e-6)


# --- what the papers promise ---


def displacement(optimizer_class, scale=1.0, steps=5, **options):
    params = parameters(((50,),), torch.float64)
    before = [p.detach().clone() for p in params]
    optimizer = optimizer_class(params, **options)
    for seed in range(steps):
        set_gradients(params, seed)
        params[0].grad *= scale
        optimizer.step()
    return params[0].detach() - before[0]


@pytest.mark.parametrize("scale", [1e-30, 1e3, 2.0**100])
def test_adam_atan2_does_not_see_the_scale_of_gradients(backend, scale):
    expected = displacement(fusedopt.AdamAtan2)
    torch.testing.assert_close(displacement(fusedopt.AdamAtan2, scale), expected, rtol=1e-13, atol=1e-15)
    assert expected.abs().max() <= 5 * 1e-4 * 1.27 * math.pi / 2


def test_sadam_without_smoothing_is_adam(backend):
    """softplus tends to the root; the authors' step differs from Adam's by nothing else when eps is zero."""
    sadam = displacement(fusedopt.SAdam, smooth=1e9, amsgrad=False, lr=1e-3)
    torch.testing.assert_close(sadam, displacement(fusedopt.Adam, eps=0.0), rtol=1e-12, atol=1e-15)


def test_adamomentum_without_momentum_is_rmsprop(backend):
    """Of unbiased second moments; with eps = 0 both divide by the same root."""
    found = displacement(fusedopt.AdaMomentum, betas=(0.0, 0.9), eps=0.0)
    expected = displacement(fusedopt.Adam, betas=(0.0, 0.9), eps=0.0)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def test_diffgrad_halves_the_step_of_an_unchanged_gradient(backend):
    moved = []
    for cls in (fusedopt.Adam, fusedopt.DiffGrad):
        (p,) = parameters(((9,),), torch.float64)
        optimizer = cls([p], eps=0.0)
        for _ in range(2):
            before, p.grad = p.detach().clone(), torch.linspace(1, 2, 9, dtype=torch.float64)
            optimizer.step()
        moved.append(p.detach() - before)
    torch.testing.assert_close(2 * moved[1], moved[0], rtol=1e-12, atol=0)
