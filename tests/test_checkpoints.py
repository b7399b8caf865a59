"""State moved to and from torch, saved, loaded, pickled and copied."""

import copy
import functools
import io
import pickle

import pytest
import torch
from conftest import DTYPES, STATEFUL, TWINS, Twins, assert_same_bits, parameters, records, set_gradients, train
from references import CASES, Case

import fusedopt

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

FORMATS = [(torch.bfloat16, "fp32"), (torch.float32, "bf16"), (torch.float16, "param"), (torch.float64, "fp32")]


def through_file(saved):
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize(("dtype", "state_format"), FORMATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_resuming_equals_not_stopping(backend, case, dtype, state_format):
    params = parameters(dtype=dtype)
    optimizer = case.build(params, state_format=state_format)
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


def test_a_failing_load_leaves_no_trace(backend):
    params, expected = parameters(), parameters()
    optimizer, plain = fusedopt.AdamW(params), fusedopt.AdamW(expected)
    train(optimizer, params, 2)
    hooks = len(optimizer._optimizer_load_state_dict_pre_hooks)
    wrong = copy.deepcopy(optimizer.state_dict())
    wrong["param_groups"].append({**wrong["param_groups"][0], "params": []})
    with pytest.raises(ValueError, match="loaded state dict has a different number of parameter groups"):
        optimizer.load_state_dict(wrong)
    wrong = copy.deepcopy(optimizer.state_dict())
    wrong["param_groups"][0].update(lr=5.0, params=[0, 1])
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(wrong)
    assert len(optimizer._optimizer_load_state_dict_pre_hooks) == hooks
    train(optimizer, params, 2, start=2)
    train(plain, expected, 4)
    assert_same_bits(params, expected)


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


# --- pickling, copying, distributed checkpoints ---

CLIPPED = {"max_grad_norm": 1.0}
FACTORED = [
    Case(fusedopt.Adafactor, {"beta1": 0.9}),
    Case(fusedopt.SMMF),
    Case(fusedopt.SM3, {"momentum": 0.9}),
    Case(fusedopt.Amos),
]
SPECIAL = [Case(fusedopt.NAdam), Case(fusedopt.ASGD), Case(fusedopt.Rprop), Case(fusedopt.Lion)]
COPIES = {
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
    "deepcopy": copy.deepcopy,
    "torch.save": lambda pair: torch.load(io.BytesIO(_saved(pair)), weights_only=False),
}


def _saved(pair):
    file = io.BytesIO()
    torch.save(pair, file)
    return file.getvalue()


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("case", [*STATEFUL, *SPECIAL, Case(fusedopt.AdamW, CLIPPED), *FACTORED], ids=str)
def test_copies_between_steps(backend, case, way):
    params, expected = parameters(), parameters()
    optimizer = case.build(params)
    train(optimizer, params, 3)
    copied, own = COPIES[way]((optimizer, params))
    assert copied.param_groups[0]["params"][0] is own[0]
    train(copied, own, 3, start=3)
    plain = case.build(expected)
    train(plain, expected, 3)
    assert_same_bits(params, expected)  # the original did not move
    train(optimizer, params, 3, start=3)
    train(plain, expected, 3, start=3)
    assert_same_bits(params, expected)
    assert_same_bits(own, expected)


def test_pickle_of_an_older_release(backend):
    """An option that did not exist yet gets its default."""
    params, expected = parameters(), parameters()
    optimizer = fusedopt.AdamW(params)
    for holder in (optimizer.defaults, *optimizer.param_groups):
        for option in ("cautious", "max_grad_norm", "state_format", "decoupled_weight_decay"):
            del holder[option]
    copied, own = copy.deepcopy((optimizer, params))
    train(copied, own, 2)
    train(fusedopt.AdamW(expected), expected, 2)
    assert_same_bits(own, expected)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("case", [*STATEFUL, *SPECIAL, Case(fusedopt.SGD, {"lr": 0.1}), *FACTORED], ids=str)
def test_distributed_checkpoint(backend, case, flat):
    dcp = pytest.importorskip("torch.distributed.checkpoint.state_dict")
    options = dcp.StateDictOptions(flatten_optimizer_state_dict=flat)

    def build():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
        return net, list(net.parameters()), case.build(net.parameters())

    net, params, optimizer = build()
    train(optimizer, params, 3)
    saved = dcp.get_optimizer_state_dict(net, optimizer, options=options)
    other_net, others, other = build()
    other_net.load_state_dict(net.state_dict())
    dcp.set_optimizer_state_dict(other_net, other, copy.deepcopy(saved), options=options)
    assert_same_bits(others, params)
    for found, expected in zip(records(other, others), records(optimizer, params), strict=True):
        assert_same_bits(found, expected)
    train(optimizer, params, 2, start=3)
    train(other, others, 2, start=3)
    assert_same_bits(others, params)
