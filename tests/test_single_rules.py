"""What is special in single rules: scalars that torch keeps as state, initial values, edges, promises of papers."""

import copy
import math

import pytest
import torch
from conftest import assert_same_bits, parameters, records, set_gradients, train

import fusedopt
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


@pytest.mark.parametrize("decoupled", [True, False])
def test_ranger_is_radam_with_its_blocks_however_it_decays(decoupled):
    params, plain = parameters(dtype=torch.float64), parameters(dtype=torch.float64)
    options = dict(weight_decay=0.3, decoupled_weight_decay=decoupled)
    with fusedopt.use_backend("eager"):
        train(fusedopt.Ranger(params, **options), params, 7)
        blocks = dict(betas=(0.95, 0.999), eps=1e-5, lookahead=(6, 0.5), centralize=True)
        train(fusedopt.RAdam(plain, **blocks, **options), plain, 7)
    assert_same_bits(params, plain)


# --- rules that measure whole tensors ---


def test_lamb_without_its_ratio_is_adam_with_decay_in_the_update(backend):
    """The ratio is 1 where no norm is allowed but that of the update: here, where bounds and clipping make it 1."""
    options = dict(weight_decay=0.1, eps=1e-8, max_grad_norm=None, lr=1e-3)
    lamb = displacement(fusedopt.LAMB, phi_bounds=(1e9, 1e9), trust_clip=True, **options)
    torch.testing.assert_close(lamb, displacement(fusedopt.AdamW, weight_decay=0.1, lr=1e-3), rtol=1e-12, atol=1e-15)


def test_lamb_of_undecayed_groups_is_adam(backend):
    options = dict(weight_decay=0.0, max_grad_norm=None)
    assert torch.equal(displacement(fusedopt.LAMB, **options), displacement(fusedopt.Adam, eps=1e-6))
    moved = displacement(fusedopt.LAMB, steps=1, adapt="always", **options)
    (p,) = parameters(((50,),), torch.float64)
    torch.testing.assert_close(moved.norm(), 1e-3 * p.detach().norm(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("scale", [1e-12, 1e3, 2.0**60])
def test_lamb_does_not_see_the_scale_of_gradients(backend, scale):
    options = dict(eps=0.0, max_grad_norm=None)
    torch.testing.assert_close(
        displacement(fusedopt.LAMB, scale, **options), displacement(fusedopt.LAMB, **options), rtol=1e-12, atol=1e-15
    )


def test_lamb_clips_by_default(backend):
    clipped = displacement(fusedopt.LAMB, 1e3)
    torch.testing.assert_close(clipped, displacement(fusedopt.LAMB, 1e5), rtol=1e-6, atol=0)
    assert not torch.equal(clipped, displacement(fusedopt.LAMB, 1e3, max_grad_norm=None))


@pytest.mark.parametrize("adapt", ["if_wd", "always"])
def test_lamb_moves_tensors_of_zeros(backend, adapt):
    """Their norm is none to go by, so that the ratio is 1."""
    p = torch.zeros(7, requires_grad=True)
    p.grad = torch.linspace(-3, 3, 7)
    fusedopt.LAMB([p], eps=0.0, weight_decay=0.1, adapt=adapt, max_grad_norm=None).step()
    torch.testing.assert_close(p.detach()[[0, 6]], torch.tensor([1e-3, -1e-3]))
    assert bool(p.detach()[3].isnan())  # 0 / 0, as eps is 0


def test_novograd_does_not_see_the_scale_of_gradients(backend):
    expected = displacement(fusedopt.NovoGrad, eps=0.0)
    torch.testing.assert_close(displacement(fusedopt.NovoGrad, 2.0**60, eps=0.0), expected, rtol=1e-12, atol=0)
    once = displacement(fusedopt.NovoGrad, steps=1, eps=0.0)
    torch.testing.assert_close(once.norm().item(), 1e-3, rtol=1e-12, atol=0)  # v begins as the squared norm itself


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_nsgda_moves_every_tensor_by_lr(backend, momentum):
    params = parameters(((50,), (3, 4), ()), torch.float64)
    optimizer = fusedopt.NSGDA(params, lr=0.1, momentum=momentum, eps=0.0, weight_decay=0.0)
    for seed in range(4):
        before = [p.detach().clone() for p in params]
        train(optimizer, params, 1, start=seed)
        for p, q in zip(params, before, strict=True):
            assert (p.detach() - q).norm().item() == pytest.approx(0.1, rel=1e-12)


ZERO_NORMS = [fusedopt.AdamNorm, fusedopt.AdaBeliefNorm, fusedopt.DiffGradNorm, fusedopt.RAdamNorm, fusedopt.NSGDA]
ZERO_NORMS += [fusedopt.NovoGrad, fusedopt.LAMB, fusedopt.AMSGD, fusedopt.AMAdamW]


@pytest.mark.parametrize("cls", ZERO_NORMS)
@pytest.mark.parametrize("first", [0, 3])
def test_gradients_of_zero_stay_zero(backend, cls, first):
    """Where norms and distances are none, in the first steps or later ones."""
    (p,) = parameters(((5, 4),))
    optimizer = cls([p], weight_decay=0.0)
    train(optimizer, [p], first)
    before = p.detach().clone()
    for _ in range(3):
        p.grad = torch.zeros_like(p)
        optimizer.step()
    assert bool(torch.isfinite(p).all())
    assert torch.equal(p.detach(), before) == (first == 0)
    train(optimizer, [p], 2)
    assert bool(torch.isfinite(p).all())


def test_adanorm_lengthens_short_gradients_only(backend):
    """As long as norms grow, AdamNorm is Adam; a gradient that is a thousand times shorter enters m at the average."""
    growing = [
        displacement(cls, steps=3, betas=(0.9, 0.9), eps=0.0)
        for cls in (fusedopt.Adam, fusedopt.AdamNorm)
    ]  # fmt: skip
    torch.testing.assert_close(growing[1], growing[0], rtol=1e-12, atol=1e-15)
    (p,) = parameters(((50,),), torch.float64)
    optimizer = fusedopt.AdamNorm([p], gamma=0.5, betas=(0.0, 0.999))
    g = torch.linspace(1, 2, 50, dtype=torch.float64)
    for size in (1.0, 1e-3):
        p.grad = size * g
        optimizer.step()
    average = (0.25 + 0.5e-3) * g.norm()
    record = optimizer.state[p]
    torch.testing.assert_close(record["exp_grad_norm"], average, rtol=1e-12, atol=0)
    torch.testing.assert_close(record["exp_avg"], g / g.norm() * average, rtol=1e-12, atol=0)


def test_adaptive_memory_of_none_is_gradient_descent(backend):
    found = displacement(fusedopt.AMSGD, momentum=0.0, memory=0.0, lr=0.1)
    assert torch.equal(found, displacement(fusedopt.SGD, lr=0.1))


def test_one_weight_for_all_groups_or_one_for_every_tensor(backend):
    """The second tensor goes on as before, the first turns round: between them they keep some of the old direction."""
    directions = {}
    for form in ("one group", "two groups", "per tensor"):
        params = parameters(((9,), (5, 4)), torch.float64)
        groups = [{"params": [p]} for p in params] if form == "two groups" else params
        optimizer = fusedopt.AMSGD(groups, memory=0.0, per_tensor=form == "per tensor")
        for sizes in ((1.0, 1.0), (-1.0, 0.5)):
            for p, size in zip(params, sizes, strict=True):
                p.grad = torch.full_like(p, size)
            optimizer.step()
        directions[form] = [optimizer.state[p]["direction"][..., 0].mean().item() for p in params]
    beta = (9 + 20 * 0.5**2) / (9 * 2**2 + 20 * 0.5**2)
    assert directions["one group"] == directions["two groups"] == pytest.approx([2 * beta - 1, 0.5 + 0.5 * beta])
    assert directions["per tensor"] == pytest.approx([2 * 0.25 - 1, 0.5 + 0.5 * 0.9])


@pytest.mark.parametrize("options", [{"agc": 0.01}, {"ema": 0.9}, {"decay": "stable"}], ids=str)
def test_one_weight_for_the_model_refuses_structural_blocks(options):
    with pytest.raises(ValueError, match="one weight is of raw gradients, which blocks change; set per_tensor=True"):
        fusedopt.AMSGD(parameters(), **options)


def test_groups_that_ask_for_different_weights_are_refused(backend):
    params = parameters(((5,), (3,)))
    optimizer = fusedopt.AMSGD([{"params": params[:1]}, {"params": params[1:]}])
    optimizer.param_groups[0]["momentum"] = 0.5
    set_gradients(params, 0)
    with pytest.raises(ValueError, match=r"groups have \(momentum, memory\) \[\(0.5, 0.1\), \(0.9, 0.1\)\]"):
        optimizer.step()
    assert not optimizer.state
    optimizer.param_groups[0]["per_tensor"] = True
    optimizer.step()


@pytest.mark.parametrize("options", [{"state_format": "8bit"}, {"state_format": "8bit_dynamic"}], ids=str)
def test_adaptive_memory_reads_codes(backend, options):
    """Eight bits keep a direction to a 16th or so of its elements, and its weight follows."""
    params, plain = parameters(), parameters()
    train(fusedopt.AMSGD(params, lr=0.1, **options), params, 3)
    train(fusedopt.AMSGD(plain, lr=0.1), plain, 3)
    for p, q, start in zip(params, plain, parameters(), strict=True):
        torch.testing.assert_close(p - start, q - start, rtol=0.1, atol=0.02)


def test_adaptive_memory_stops_at_its_bound(backend):
    """Gradients that go on in one direction ask for all of the memory there is."""
    g, (p,) = torch.linspace(1, 2, 9, dtype=torch.float64), parameters(((9,),), torch.float64)
    optimizer = fusedopt.AMSGD([p], momentum=0.5, memory=0.0)
    for size in (1.0, 3.0):
        p.grad = size * g
        optimizer.step()
    torch.testing.assert_close(optimizer.state[p]["direction"], 2 * g, rtol=1e-12, atol=0)  # 0.5 g + 0.5 (3 g)


def test_adaptive_memory_without_old_direction_is_adamw_without_momentum(backend):
    options = dict(eps=1e-3, weight_decay=0.1, lr=0.1)
    found = displacement(fusedopt.AMAdamW, betas=(0.0, 0.9), memory=0.0, **options)
    expected = displacement(fusedopt.AdamW, betas=(0.0, 0.9), **options)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def test_adaptive_memory_passes_through_a_step_size_of_zero(backend):
    """As warm-up begins with one; the next step has no step size before it to compare with."""
    (p,) = parameters(((5, 4),))
    optimizer = fusedopt.AMAdamW([p])
    for seed, lr in enumerate((0.0, 0.1, 0.0, 0.1, torch.tensor(0.1), 0.1)):
        optimizer.param_groups[0]["lr"] = lr
        before = p.detach().clone()
        train(optimizer, [p], 1, start=seed)
        assert float(optimizer.param_groups[0]["previous_lr"]) == pytest.approx(float(lr))
        assert bool(torch.isfinite(p).all())
        assert torch.equal(p.detach(), before) == (lr == 0.0)


# --- AdaLo follows a loss ---


def test_adalo_takes_a_loss_or_a_closure(backend):
    losses, results = [3.0, 0.5, 8.0], []
    for form in ("number", "tensor", "closure"):
        params = parameters()
        optimizer = fusedopt.AdaLo(params, kappa=1e-3, betas=(0.9, 0.5))
        for seed, loss in enumerate(losses):
            set_gradients(params, seed)
            given = loss if form == "number" else torch.tensor([loss], requires_grad=True)
            returned = optimizer.step(lambda given=given: given) if form == "closure" else optimizer.step(loss=given)
            assert returned is given
        results.append((params, optimizer.param_groups[0]["loss_ema"]))
    assert results[0][1] == pytest.approx(0.5 / 10 + 0.25 / 2.5 + 0.125 / 5, rel=1e-15)
    assert results[0][1] == results[1][1] == results[2][1]
    assert_same_bits(results[1][0], results[0][0])
    assert_same_bits(results[2][0], results[0][0])


@pytest.mark.parametrize("mode", ["adversarial", "compliant"])
def test_adalo_without_a_loss_goes_on_with_its_average(backend, mode):
    (p,) = parameters(((6,),), torch.float64)
    optimizer = fusedopt.AdaLo([p], betas=(0.0, 0.5), kappa=0.5, weight_decay=0.0, mode=mode)
    for loss, e in ((None, 0.0), (2.0, 0.125), (None, 0.125)):
        before, p.grad = p.detach().clone(), torch.ones_like(p)
        optimizer.step(loss=loss)
        size = max(e if mode == "adversarial" else 1 - e, 0.5e-8) / 0.5
        torch.testing.assert_close(before - p.detach(), size * p.grad, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": torch.ones(3)}, r"the loss has shape \(3,\); pass one number, such as its mean"),
        ({"loss": -1.0}, r"the loss is -1\.0; it must be above -1: add a constant"),
        ({"loss": torch.tensor(float("nan"))}, "the loss is nan; it must be above -1"),
        ({"loss": 1.0, "closure": lambda: 2.0}, "takes a closure or a loss, not both"),
    ],
)
def test_a_refused_loss_changes_nothing(backend, arguments, message):
    params = parameters()
    optimizer = fusedopt.AdaLo(params)
    set_gradients(params, 0)
    with pytest.raises(ValueError, match=message):
        optimizer.step(**arguments)
    assert_same_bits(params, parameters())
    params[0].grad = torch.ones(7, 5).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step(loss=1.0)
    assert optimizer.param_groups[0]["loss_ema"] == 0.0
    assert not optimizer.state
