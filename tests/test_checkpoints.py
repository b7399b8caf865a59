"""State moved to and from torch, saved and loaded."""

import copy
import functools
import io
import itertools

import pytest
import torch
from conftest import DTYPES, SHAPES, STATEFUL, TWINS, Twins, assert_same_bits, parameters, records, set_gradients, train
from references import CASES, Case

import fusedopt
from fusedopt import state
from fusedopt.codecs import Stored

# --- checkpoints of torch ---


def to_ours(twins, build):
    twins.ours = [p.detach().clone().requires_grad_() for p in twins.theirs]
    twins.optimizer = build(twins.ours, lr=9.0)
    twins.optimizer.load_state_dict(twins.reference.state_dict())


def to_torch(twins, build):
    twins.theirs = [p.detach().clone().requires_grad_() for p in twins.ours]
    twins.reference = type(twins.reference)(twins.theirs, lr=9.0)
    twins.reference.load_state_dict(copy.deepcopy(twins.optimizer.state_dict()))  # torch aliases what it loads


ROUTES = {"in": [to_ours], "out": [to_torch], "round": [to_ours, to_torch, to_ours]}


@pytest.mark.parametrize("routes", ROUTES.values(), ids=ROUTES)
@pytest.mark.parametrize("case", TWINS, ids=str)
def test_checkpoints_move_both_ways(backend, case, routes):
    twins = Twins(case)
    twins.step(3)
    for route in routes:
        route(twins, case.cls)
        twins.step(2)
        twins.assert_equal()


@pytest.mark.parametrize("case", TWINS, ids=str)
def test_checkpoint_has_torchs_keys(backend, case):
    twins = Twins(case)
    twins.step(2)
    ours, theirs = twins.optimizer.state_dict(), twins.reference.state_dict()
    assert {i: list(record) for i, record in ours["state"].items()} == {i: list(r) for i, r in theirs["state"].items()}
    for group, expected in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert {key: group[key] for key in expected} == expected


TORCH_FORM = {"second_moment_form": "torch"}


class AdafactorTwins(Twins):
    """Torch's class cannot step empty tensors, and ours has another arithmetic unless told to use torch's."""

    def __init__(self, dtype=torch.float64):
        options = {"weight_decay": 0.1, "eps": (1e-8, 1e-3)}
        self.theirs, self.ours = (parameters(((7, 5), (5,), (), (1, 9), (4, 2, 3)), dtype) for _ in range(2))
        self.reference = torch.optim.Adafactor(self.theirs, **options)
        self.optimizer = fusedopt.Adafactor(self.ours, **TORCH_FORM, **options)
        self.steps = 0


@pytest.mark.parametrize("routes", ROUTES.values(), ids=ROUTES)
def test_checkpoints_of_adafactor_move_both_ways(backend, routes):
    twins = AdafactorTwins()
    twins.step(3)
    twins.assert_equal()
    for route in routes:
        route(twins, functools.partial(fusedopt.Adafactor, **TORCH_FORM))
        twins.step(2)
        twins.assert_equal()
        found, expected = records(twins.optimizer, twins.ours), records(twins.reference, twins.theirs)
        assert [list(record) for record in found] == [list(record) for record in expected]


def test_adafactor_widens_the_statistics_of_torchs_bfloat16(backend):
    twins = AdafactorTwins(torch.bfloat16)
    twins.step(3)
    saved = copy.deepcopy(twins.reference.state_dict()["state"])
    to_ours(twins, functools.partial(fusedopt.Adafactor, **TORCH_FORM))
    assert saved[0]["row_var"].dtype == torch.bfloat16
    twins.step()
    rate, mean = 4**-0.8, {"row_var": lambda s: s.mean(-1, True), "col_var": lambda s: s.mean(-2, True)}
    for i, record in enumerate(records(twins.optimizer, twins.ours)):
        s = twins.ours[i].grad.double().square()
        for key in record.keys() - {"step"}:
            expected = (1 - rate) * saved[i][key].double() + rate * mean.get(key, lambda s: s)(s)
            torch.testing.assert_close(record[key], expected.float(), rtol=1e-6, atol=0)


def old_counts(saved):
    for record in saved["state"].values():
        if "step" in record:
            record["step"] = int(record["step"])


def old_flags(saved):
    for group in saved["param_groups"]:
        for key in ("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"):
            group.pop(key, None)


def no_buffers(saved):
    for record in saved["state"].values():
        record.update({"momentum_buffer": None} if "momentum_buffer" in record else {})


@pytest.mark.parametrize("age", [old_counts, old_flags, no_buffers])
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_old_checkpoints(backend, case, age):
    twins = Twins(case)
    twins.step(3)
    saved = copy.deepcopy(twins.reference.state_dict())
    age(saved)
    for optimizer, _ in twins.sides:
        optimizer.load_state_dict(copy.deepcopy(saved))
    twins.step(3)
    twins.assert_equal()


@pytest.mark.parametrize("flags", [{"fused": True}, {"foreach": True}, {"capturable": True}])
def test_checkpoints_of_torchs_other_implementations(backend, flags):
    twins = Twins(STATEFUL[0])
    twins.step(3)
    saved = copy.deepcopy(twins.reference.state_dict())
    saved["param_groups"][0].update(flags)
    twins.optimizer.load_state_dict(saved)
    twins.step(3)
    twins.assert_equal()


# --- saving and loading ---

FORMATS = [
    (torch.bfloat16, {"state_format": "fp32"}),
    (torch.float32, {"state_format": "bf16"}),
    (torch.float16, {}),
    (torch.float64, {"state_format": "fp32"}),
]
COMPRESSED = [
    (torch.float32, {"state_format": "8bit"}),
    (torch.bfloat16, {"state_format": "8bit_dynamic"}),
    (torch.bfloat16, {"state_format": "8bit", "weight_format": "split24"}),
    (torch.bfloat16, {"weight_format": "split32"}),
    (torch.float16, {"state_format": "8bit", "weight_format": "kahan"}),
    (torch.float16, {"state_format": "bf16", "weight_format": "stochastic"}),
]
LONGER = (*SHAPES, (300,), (3, 170))  # several blocks, the last one short


def through_file(saved):
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


RESUMED = [
    *itertools.product(CASES, FORMATS),
    *itertools.product([*STATEFUL, Case(fusedopt.Lion), Case(fusedopt.AdamW, {"amsgrad": True})], COMPRESSED),
]


@pytest.mark.parametrize(("case", "stored"), RESUMED, ids=str)
def test_resuming_equals_not_stopping(backend, case, stored):
    """Random bits included: nothing but the state dict tells how far they are."""
    dtype, formats = stored
    params = parameters(LONGER, dtype=dtype)
    optimizer = case.build(params, **formats)
    train(optimizer, params, 3)
    resumed = [p.detach().clone().requires_grad_() for p in params]
    other = type(optimizer)(resumed, lr=9.0)
    other.load_state_dict(through_file(optimizer.state_dict()))
    for found, expected in zip(records(other, resumed), records(optimizer, params), strict=True):
        assert_same_bits(found, expected)  # dtypes too
    train(optimizer, params, 3, start=3)
    train(other, resumed, 3, start=3)
    assert_same_bits(resumed, params)
    for found, expected in zip(records(other, resumed), records(optimizer, params), strict=True):
        assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_loading_never_aliases_nor_changes_the_dict(backend, case, dtype):
    params, others = parameters(dtype=dtype), parameters(dtype=dtype)
    optimizer, other = case.build(params), case.build(others)
    train(optimizer, params, 2)
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = torch.tensor(0.1)
    tensors = {i: dict(record) for i, record in saved["state"].items()}
    before = copy.deepcopy(saved)
    other.load_state_dict(saved)
    train(other, others, 2)
    other.param_groups[0]["lr"].fill_(7.0)
    other.param_groups[0]["weight_decay"] = 7.0
    assert saved.keys() == {"state", "param_groups"}
    assert saved["param_groups"] == before["param_groups"]
    for i, record in saved["state"].items():
        assert all(record[key] is tensors[i][key] for key in tensors[i])
        assert_same_bits(record, before["state"][i])
        loaded = other.state[others[i]]
        assert all(not t.numel() or loaded[key].data_ptr() != t.data_ptr() for key, t in record.items())


def test_load_hooks_run_once_in_order(backend):
    params = parameters()
    optimizer, calls = fusedopt.AdamW(params), []
    train(optimizer, params, 2)
    for name, prepend in (("first", False), ("second", False), ("zeroth", True)):
        see = lambda *_, name=name: calls.append(name)  # noqa: E731
        for register in (
            optimizer.register_state_dict_pre_hook,
            optimizer.register_state_dict_post_hook,
            optimizer.register_load_state_dict_pre_hook,
            optimizer.register_load_state_dict_post_hook,
        ):
            register(see, prepend=prepend)
    saved = optimizer.state_dict()
    assert calls == ["zeroth", "first", "second"] * 2
    for _ in range(2):
        calls.clear()
        optimizer.load_state_dict(saved)
        assert calls == ["zeroth", "first", "second"] * 2


def test_load_hooks_may_replace_the_dict(backend):
    params, others = parameters(), parameters()
    optimizer, other = fusedopt.AdamW(params), fusedopt.AdamW(others)
    train(optimizer, params, 2)
    seen = []
    other.register_load_state_dict_pre_hook(lambda _, saved: {**optimizer.state_dict(), "state": saved["state"]})
    other.register_load_state_dict_pre_hook(lambda _, saved: seen.append(saved["state"][0]["exp_avg"]))
    other.load_state_dict({"state": optimizer.state_dict()["state"], "param_groups": None})
    assert seen == [optimizer.state[params[0]]["exp_avg"]]  # hooks see tensors, nothing of ours
    assert_same_bits(other.state[others[0]], optimizer.state[params[0]])


def test_residuals_begin_at_zero_where_no_weight_format_was_saved(backend):
    (p,), (q,) = parameters(((300,),), torch.bfloat16), parameters(((300,),), torch.bfloat16)
    optimizer, other = fusedopt.AdamW([p]), fusedopt.AdamW([q], weight_format="split24")
    train(optimizer, [p], 2)
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["weight_format"]
    other.load_state_dict(saved)
    train(other, [q], 1)
    assert other.param_groups[0]["weight_format"] == "split24"
    assert other.state[q]["weight_residual"].any()


@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_floats_stay_floats_where_eight_bits_are_asked_for(backend, case):
    """As torch's checkpoints hold them: only new state is in eight bits."""
    twins = Twins(case, dtype=torch.float32)
    twins.step(3)
    eight = functools.partial(case.cls, state_format="8bit")
    to_ours(twins, eight)
    twins.step(2)
    assert twins.optimizer.param_groups[0]["state_format"] == "8bit"
    for p in twins.ours if not twins.optimizer.counts_steps else ():
        twins.optimizer.state[p].pop("step", None)  # counted for random bits, which SGD of torch does not need
    twins.assert_equal()


def decoded(optimizer, p, key):
    record = optimizer.state[p]
    return Stored(record[key], record[f"{key}_scale"], state.EIGHT_BITS["8bit"][KINDS[key]], p.numel(), 0).read()


KINDS = {"exp_avg": "signed", "exp_avg_sq": "positive"}


def test_blocks_follow_memory_into_another_layout(backend):
    """Codes of a contiguous weight, loaded for one in channels_last: the blocks are others, the values are not."""
    (p,) = parameters(((8, 40, 3, 3),))
    q = p.detach().to(memory_format=torch.channels_last).requires_grad_()
    optimizer, other = fusedopt.AdamW8bit([p]), fusedopt.AdamW8bit([q])
    train(optimizer, [p], 2)
    with torch.no_grad():
        q.copy_(p)
    other.load_state_dict(through_file(optimizer.state_dict()))
    for key in KINDS:
        assert other.state[q][key].stride() == q.stride()
        found, expected = decoded(other, q, key), decoded(optimizer, p, key)
        assert ((found - expected).abs() <= expected.abs() / 16).all()  # the codes' spacing, halved
        assert torch.equal(found == 0, expected == 0)
    train(other, [q], 1, start=2)
    other.load_state_dict(through_file(other.state_dict()))  # its own layout: nothing is rounded
    again = fusedopt.AdamW8bit([q])
    again.load_state_dict(through_file(other.state_dict()))
    assert_same_bits(again.state[q], other.state[q])


@pytest.mark.parametrize("saved_names", [None, ["a", "b"]])
@pytest.mark.parametrize("own_names", [None, ["x", "y"]])
def test_parameter_names(backend, saved_names, own_names):
    def build(names):
        params = parameters(((3,), (2,)))
        optimizer = fusedopt.AdamW(list(zip(names, params, strict=True)) if names else params)
        train(optimizer, params, 1)
        return optimizer

    optimizer = build(own_names)
    optimizer.load_state_dict(through_file(build(saved_names).state_dict()))
    assert optimizer.param_groups[0].get("param_names") == (saved_names or own_names)


def test_partial_state_and_entries_of_the_user(backend):
    """State of some parameters, and entries that belong to no parameter, pass through a checkpoint as in torch."""
    params, others = parameters(), parameters()
    optimizer, other = fusedopt.AdamW(params), fusedopt.AdamW(others)
    set_gradients(params[:2], 0)
    optimizer.step()
    optimizer.state[params[0]].update(mine=torch.arange(3), nested={"codes": torch.arange(4)}, note="x", flag=None)
    optimizer.state["epoch"] = 3
    optimizer.state["ema"] = {"weight": torch.ones(2)}
    other.load_state_dict(through_file(optimizer.state_dict()))
    assert list(other.state) == [*others[:2], "epoch", "ema"]
    assert other.state["epoch"] == 3
    assert_same_bits(other.state["ema"], {"weight": torch.ones(2)})
    found = dict(other.state[others[0]])
    assert [found.pop(key) for key in ("note", "flag")] == ["x", None]
    assert_same_bits(found.pop("nested"), {"codes": torch.arange(4)})
    assert_same_bits(found, {k: v for k, v in optimizer.state[params[0]].items() if isinstance(v, torch.Tensor)})
    train(other, others, 2)


def test_options_missing_from_a_checkpoint_come_from_the_constructor(backend):
    params, expected = parameters(), parameters()
    optimizer = fusedopt.AdamW(params, max_grad_norm=0.1, cautious=True)
    optimizer.load_state_dict(torch.optim.AdamW(parameters(), lr=0.3).state_dict())
    train(optimizer, params, 2)
    train(fusedopt.AdamW(expected, lr=0.3, max_grad_norm=0.1, cautious=True), expected, 2)
    assert_same_bits(params, expected)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16], ids=str)
def test_counts_survive_another_default_dtype(backend, default):
    (p,) = parameters(((3,),))
    optimizer = fusedopt.AdamW([p])
    train(optimizer, [p], 1)
    optimizer.state[p]["step"].fill_(1001)
    torch.set_default_dtype(default)
    try:
        copied = copy.deepcopy(optimizer)
        optimizer.load_state_dict(optimizer.state_dict())
    finally:
        torch.set_default_dtype(torch.float32)
    assert [record["step"].item() for o in (copied, optimizer) for record in o.state.values()] == [1001, 1001]
