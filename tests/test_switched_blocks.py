"""Blocks that are switched on or off in the middle of training, loaded into, or refused in place."""

import pytest
import torch

import fusedopt
from fusedopt import backends


@pytest.fixture(autouse=True)
def eager():
    with fusedopt.use_backend("eager"):
        yield


def trained(optimizer, p, steps, g=1.0):
    for _ in range(steps):
        p.grad = torch.full_like(p, g)
        optimizer.step()
    return p.detach().clone()


def ones(*shape):
    return torch.nn.Parameter(torch.ones(shape, dtype=torch.float64))


@pytest.mark.parametrize(
    "cls", [fusedopt.SGD, fusedopt.AdamW, fusedopt.Lion, fusedopt.AMAdamW, fusedopt.NovoGrad], ids=lambda x: x.__name__
)
@pytest.mark.parametrize("option", [{"ema": 0.9}, {"lookahead": (100, 0.5)}], ids=str)
def test_a_block_that_begins_later_leaves_the_rule_where_it_is(cls, option):
    made = []
    for more in ({}, option):
        p = ones(7, 5)
        momentum = {"momentum": 0.9, "dampening": 0.5} if cls is fusedopt.SGD else {}
        optimizer = cls([p], lr=0.1, **momentum)
        trained(optimizer, p, 3)
        optimizer.param_groups[0].update(more)
        made.append(trained(optimizer, p, 3))
    assert torch.equal(*made)


def test_lookahead_begins_anew_where_it_is_switched_on_again():
    p = ones(3)
    optimizer = fusedopt.SGD([p], lr=0.1, lookahead=(1, 0.5))
    group = optimizer.param_groups[0]
    assert trained(optimizer, p, 1)[0] == pytest.approx(0.95)
    group["lookahead"] = None
    assert trained(optimizer, p, 10)[0] == pytest.approx(-0.05)
    assert "slow_buffer" not in optimizer.state[p]
    group["lookahead"] = (1, 0.5)
    assert trained(optimizer, p, 1)[0] == pytest.approx(-0.1)


def test_an_average_that_is_off_is_not_put_in_place():
    p = ones(3)
    optimizer = fusedopt.SGD([p], lr=0.1, ema=0.5)
    trained(optimizer, p, 2)
    optimizer.param_groups[0]["ema"] = None
    latest = trained(optimizer, p, 1)
    with optimizer.averaged():
        assert torch.equal(p, latest)


@pytest.mark.parametrize("bound", [("dependent", 1.0), ("warm_start", 2)])
def test_cpr_sets_its_bound_when_it_is_switched_on(bound):
    p = ones(4, 4)
    optimizer = fusedopt.AdamW([p], lr=1e-2, weight_decay=0)
    size = trained(optimizer, p, 5, -1.0).square().sum()
    optimizer.param_groups[0].update(decay="cpr", cpr_bound=bound)
    grown = (1 + 0.01 * 6) ** 2 * 16 if bound[0] == "warm_start" else size
    trained(optimizer, p, 1, -1.0)
    assert float(optimizer.state[p]["kappa"]) == pytest.approx(float(grown), rel=1e-6)
    assert trained(optimizer, p, 40, -1.0).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ema": 2.0}, "Invalid ema: 2.0"),
        ({"clip_value": -1.0}, "Invalid clip_value"),
        ({"decay": "typo"}, "Invalid decay: 'typo'"),
        ({"lookahead": (0, 0.5)}, "Invalid lookahead"),
        ({"accumulate": 2.5}, "Invalid accumulate"),
        ({"fractional": (2.0, 3)}, "Invalid fractional"),
        ({"softplus": 20.0, "atan2": (1.0, 1.0)}, "softplus contradicts atan2"),
    ],
    ids=str,
)
def test_options_are_checked_where_they_were_changed_in_place(options, message):
    p = ones(3)
    optimizer = fusedopt.Adam([p])
    before = trained(optimizer, p, 1)
    optimizer.param_groups[0].update(options)
    with pytest.raises(ValueError, match=message):
        trained(optimizer, p, 1)
    assert torch.equal(p, before)
    state_dict = fusedopt.Adam([ones(3)]).state_dict()
    state_dict["param_groups"][0].update(options)
    with pytest.raises(ValueError, match=message):
        fusedopt.Adam([ones(3)]).load_state_dict(state_dict)


@pytest.mark.skipif(bool(backends.unavailable("cpu")), reason=str(backends.unavailable("cpu")))
@pytest.mark.parametrize(
    ("changed", "message"),
    [({"max_grad_norm": -1.0}, "Invalid max_grad_norm: -1.0"), ({"decay": "typo"}, "Invalid decay: 'typo'")],
    ids=str,
)
def test_values_are_checked_where_the_plan_stays(changed, message):
    """The eager engine plans every step; others keep the plan of options that ask for the same rule."""
    p = ones(3)
    optimizer = fusedopt.Adam([p], max_grad_norm=1.0)
    with fusedopt.use_backend("cpu"):
        before = trained(optimizer, p, 2)
        optimizer.param_groups[0].update(changed)
        for _ in range(2):
            with pytest.raises(ValueError, match=message):
                trained(optimizer, p, 1)
    assert torch.equal(p, before)


def test_a_refused_group_is_not_added():
    optimizer = fusedopt.SGD([ones(3)])
    with pytest.raises(ValueError, match="softplus does not fit"):
        optimizer.add_param_group({"params": [ones(3)], "softplus": 20.0})
    assert len(optimizer.param_groups) == 1


def test_groups_of_amsgd_are_checked():
    with pytest.raises(ValueError, match="one weight is of raw gradients"):
        fusedopt.AMSGD([{"params": [ones(3)], "clip_value": 1.0}])


@pytest.mark.parametrize(
    "option", [{"ema": 0.9}, {"lookahead": (5, 0.5)}, {"decay": "cpr", "weight_decay": 0}], ids=str
)
def test_blocks_begin_beside_state_of_torch(option):
    p, q = ones(4, 4), ones(4, 4)
    theirs, ours = torch.optim.AdamW([p], lr=0.1, weight_decay=0), fusedopt.AdamW([q], lr=0.1, **option)
    trained(theirs, p, 3)
    with torch.no_grad():
        q.copy_(p)
    ours.load_state_dict(theirs.state_dict())
    ours.param_groups[0].update(option)
    assert float(ours.state[q]["step"]) == 3
    trained(ours, q, 1)
    assert float(ours.state[q]["step"]) == 4
    assert {"ema", "slow_buffer", "kappa"} & ours.state[q].keys()


def test_a_record_that_lost_its_average_is_refused():
    p = ones(3)
    optimizer = fusedopt.AdamW([p], ema=0.9)
    trained(optimizer, p, 1)
    state_dict = optimizer.state_dict()
    del state_dict["state"][0]["ema"]
    with pytest.raises(ValueError, match=r"'ema'.* is missing"):
        fusedopt.AdamW([ones(3)], ema=0.9).load_state_dict(state_dict)


@pytest.mark.parametrize("decay", ["fully_decoupled", "corrected", "amos"])
def test_scheduled_decays_after_state_of_torch(decay):
    p = ones(3)
    theirs, ours = torch.optim.AdamW([p], lr=0.1), fusedopt.AdamW([p], lr=0.1, decay=decay, weight_decay=0.1)
    trained(theirs, p, 1)
    ours.load_state_dict(theirs.state_dict())
    ours.param_groups[0]["decay"] = decay
    assert trained(ours, p, 1).isfinite().all()


def test_the_first_lr_is_not_that_of_a_scheduler():
    """OneCycleLR sets initial_lr to a 25th of its maximum."""
    p = ones(3)
    optimizer = fusedopt.SGD([p], lr=0.1, decay="fully_decoupled", weight_decay=0.01)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    optimizer.param_groups[0]["lr"] = 0.1
    assert trained(optimizer, p, 1, 0.0)[0] == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("cls", "options"),
    [(fusedopt.CAME, {"cpr_bound": ("dependent", 0.9)}), (fusedopt.CAME, {"cpr_bound": ("warm_start", 2)})],
)
def test_names_of_blocks_are_their_own(cls, options):
    p = ones(4, 4)
    optimizer = cls([p], weight_decay=0, decay="cpr", **options)
    assert trained(optimizer, p, 2).isfinite().all()


def test_a_users_state_may_not_be_called_as_a_blocks():
    @fusedopt.register_rule(states={"ema": "signed"})
    def switched_test_rule(g, p, m):
        return g, m + g

    with pytest.raises(ValueError, match="'ema' is the name of a block's own"):
        switched_test_rule([ones(3)], ema=0.9)


def test_scales_by_rows_are_not_read_as_one_row():
    """Both have 40 blocks."""
    p = torch.nn.Parameter(torch.ones(10, 1000))
    by_rows, flat = fusedopt.AdamW8bit([p], agc=1e9), fusedopt.AdamW8bit([p])
    trained(by_rows, p, 1)
    assert by_rows.state[p]["exp_avg_scale"].shape == (10, 4)
    state_dict = by_rows.state_dict()
    with pytest.raises(ValueError, match=r"shape \(10, 4\) .* one row"):
        fusedopt.convert_state_dict(state_dict, "fusedopt", "torch")
    state_dict["param_groups"][0]["agc"] = None
    with pytest.raises(ValueError, match=r"expected a float32 tensor of shape \(40,\)"):
        flat.load_state_dict(state_dict)
