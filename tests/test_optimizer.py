"""The contract of torch.optim in step(): who moves, when hooks run, and what may change between two steps."""

import copy

import pytest
import torch
from conftest import (
    DTYPES,
    STATEFUL,
    TWINS,
    Twins,
    assert_has_torchs_keys,
    assert_same_bits,
    parameters,
    records,
    set_gradients,
    train,
)
from references import CASES
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import fusedopt

# --- which parameters move ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", TWINS, ids=str)
def test_ten_steps_equal_torch(backend, case, dtype):
    twins = Twins(case, dtype)
    twins.step(10)
    twins.assert_equal()


@pytest.mark.parametrize("case", TWINS, ids=str)
def test_frozen_then_unfrozen_layers_keep_their_own_count(backend, case):
    twins = Twins(case)
    for i in range(10):
        frozen = [1] if 3 <= i < 6 else [0, 4] if i < 2 else []
        twins.step(prepare=lambda params, frozen=frozen: [setattr(params[j], "grad", None) for j in frozen])
        twins.assert_equal()


def weight_decay(case, value):
    """As an option of the case's class; Amos derives its own, and Rprop has none."""
    return {} if case.cls in (fusedopt.Amos, fusedopt.Rprop) else {"weight_decay": value}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_gradient_nothing_happens(backend, case):
    params = parameters()
    before = [p.detach().clone() for p in params]
    optimizer = case.cls(params, **{**case.options, **weight_decay(case, 0.5)})
    optimizer.step()
    params[1].grad = torch.ones(5)
    versions = [p._version for p in params]
    optimizer.step()
    assert all(p is params[1] for p in optimizer.state)
    assert [p._version > v for p, v in zip(params, versions, strict=True)] == [False, True, False, False, False]
    assert_same_bits(params[:1] + params[2:], before[:1] + before[2:])


@pytest.mark.parametrize("case", TWINS, ids=str)
def test_zero_gradient_is_not_none(backend, case):
    twins = Twins(case, **weight_decay(case, 0.2))
    twins.step(2)
    twins.step(3, prepare=lambda params: [p.grad.zero_() for p in params])
    twins.assert_equal()


def expected_keys(optimizer, p):
    """What the optimizer's rule keeps of ``p``, and the step count where it counts steps."""
    rule, _ = optimizer.layout(optimizer.param_groups[0], p)
    return {*rule.states, *(["step"] if optimizer.counts_steps else [])}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_lr_zero_with_zero_gradients_only_creates_state(backend, case, dtype):
    """How torch.distributed.checkpoint learns the keys of the state."""
    params = parameters(dtype=dtype)
    with torch.no_grad():
        params[1].copy_(torch.tensor([-0.0, 0.0, 6e-8, -65504.0, 1.0]))
    before = [p.detach().clone() for p in params]
    options = {**case.options, "lr": 0.0, "maximize": False, **weight_decay(case, 0.3)}
    optimizer = case.cls(params, **options)
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.step(closure=None)
    assert_same_bits(params, before)
    assert [record.keys() for record in records(optimizer, params)] == [expected_keys(optimizer, p) for p in params]


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters:UserWarning")
def test_a_duplicate_is_stepped_once(backend):
    (p,), (q,) = parameters(((5,),)), parameters(((5,),))
    train(fusedopt.AdamW([p, p]), [p], 3)
    train(fusedopt.AdamW([q]), [q], 3)
    assert_same_bits([p], [q])


# --- closures and hooks ---


@pytest.mark.parametrize("by_keyword", [False, True])
def test_closure_runs_once_with_gradients_on(backend, by_keyword):
    p = torch.ones(3, requires_grad=True)
    optimizer, losses = fusedopt.SGD([p], lr=0.25), []

    def closure():
        optimizer.zero_grad()
        losses.append(p.square().sum())
        losses[-1].backward()
        return losses[-1]

    with torch.no_grad():
        assert (optimizer.step(closure=closure) if by_keyword else optimizer.step(closure)) is losses[0]
    assert len(losses) == 1
    assert torch.equal(p, torch.full((3,), 0.5))
    assert optimizer.step() is None


@pytest.mark.parametrize("cls", [fusedopt.Adam, fusedopt.AdamW, fusedopt.SGD, fusedopt.Lion])
def test_hooks_run_once_and_in_torchs_order(backend, cls):
    params, calls = parameters(), []
    fusedopt.Adam(parameters())  # constructing a base class first must not double the hooks of AdamW
    optimizer = cls(params, lr=0.1)
    set_gradients(params, 0)

    def see(what):
        return lambda o, *_: calls.append((what, o is optimizer, not torch.equal(params[0], parameters()[0])))

    handles = [
        register_optimizer_step_pre_hook(see("global pre")),
        register_optimizer_step_post_hook(see("global post")),
        optimizer.register_step_pre_hook(see("pre")),
        optimizer.register_step_post_hook(see("post")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    expected = [("global pre", False), ("pre", False), ("post", True), ("global post", True)]
    assert calls == [(what, True, moved) for what, moved in expected]


def test_stepping_inside_backward(backend):
    """Gradient release: one optimizer a parameter, stepped as soon as its gradient is complete."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    nets = [net, copy.deepcopy(net)]
    reference = torch.optim.AdamW(nets[0].parameters(), lr=0.1)
    optimizers = {p: fusedopt.AdamW([p], lr=0.1) for p in nets[1].parameters()}

    def release(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in optimizers:
        p.register_post_accumulate_grad_hook(release)
    for _ in range(5):
        x = torch.randn(6, 3, dtype=torch.float64)
        reference.zero_grad()
        for net in nets:
            net(x).square().sum().backward()
        reference.step()
    assert all(p.grad is None for p in optimizers)
    torch.testing.assert_close(list(optimizers), list(nets[0].parameters()), rtol=1e-12, atol=1e-12)


def test_autograd_notices_the_step(backend):
    params = parameters()
    losses = [p.square().sum() for p in params]  # each saves its parameter for the backward pass
    set_gradients(params, 0)
    params[0].grad = None
    fusedopt.AdamW(params).step()
    losses[0].backward()
    for loss in losses[1:]:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


# --- hyper-parameters ---

SCHEDULERS = {
    "onecycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=12),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=5),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
}


@pytest.mark.parametrize("lr", [0.05, torch.tensor(0.05).double(), torch.tensor([0.05]).double()], ids=str)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_schedulers(backend, case, scheduler, lr):
    twins = Twins(case)
    lrs = [lr.clone() if isinstance(lr, torch.Tensor) else lr for _ in twins.sides]
    for (optimizer, _), own in zip(twins.sides, lrs, strict=True):
        optimizer.param_groups[0]["lr"] = own
    schedules = [SCHEDULERS[scheduler](optimizer) for optimizer, _ in twins.sides]
    for _ in range(10):
        twins.step()
        for schedule in schedules:
            schedule.step()
    assert_has_torchs_keys(twins.optimizer.param_groups[0], twins.reference.param_groups[0])
    assert isinstance(lr, float) or twins.optimizer.param_groups[0]["lr"] is lrs[1]
    twins.assert_equal()


@pytest.mark.parametrize("tensor", [torch.tensor, lambda x: torch.tensor([x])], ids=["0-dim", "1-element"])
def test_tensor_hyperparameters_equal_floats(backend, tensor):
    params, expected = parameters(), parameters()
    train(fusedopt.AdamW(params, lr=tensor(0.25), betas=(tensor(0.5), tensor(0.75))), params, 3)
    train(fusedopt.AdamW(expected, lr=0.25, betas=(0.5, 0.75)), expected, 3)
    assert_same_bits(params, expected)


def test_beta_of_zero_keeps_no_memory(backend):
    """m + 1 * (g - m) would lose a gradient that is far smaller than the one before."""
    (p,) = parameters(((4,),))
    optimizer = fusedopt.Adam([p], betas=(0.0, 0.9))
    for scale in (1e6, 1.0, 1e-6):
        p.grad = torch.tensor([1.1, -2.2, 3.3, 1e-3]) * scale
        optimizer.step()
        assert_same_bits([optimizer.state[p]["exp_avg"]], [p.grad])


# --- edits between steps ---


def edit(**values):
    return lambda optimizer, params: optimizer.param_groups[0].update(values)


def each_state(change):
    def apply(optimizer, params):
        for record in optimizer.state.values():
            record.update({key: change(value) for key, value in record.items() if key != "step"})

    return apply


def each_count(change):
    def apply(optimizer, params):
        for record in optimizer.state.values():
            record.update({"step": change(record["step"])} if "step" in record else {})

    return apply


def each_record(change):
    return lambda optimizer, params: optimizer.state.update({p: change(optimizer.state[p]) for p in params})


def each_param(change):
    def apply(optimizer, params):
        for p in params:
            p.data = change(p.data)

    return apply


def swap_data(state):
    state.data = torch.full_like(state, 0.25)
    return state


def swap_implementation(optimizer, params):
    params[0].grad = None
    torch.utils.swap_tensors(params[0], torch.full_like(params[0], 0.5).requires_grad_())


def to_float32(optimizer, params):
    each_param(torch.Tensor.float)(optimizer, params)
    each_state(torch.Tensor.float)(optimizer, params)


def transpose_memory(tensor):
    return tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor.clone()


EDITS = {
    "lr": edit(lr=0.2),
    "betas": edit(betas=(0.5, 0.6)),
    "momentum": edit(momentum=0.3, dampening=0.0, nesterov=True),
    "no momentum": edit(momentum=0),
    "decay": edit(weight_decay=0.4, maximize=True, eps=1e-2),
    "own keys": edit(mask=torch.ones(3), tag="mine", nothing=None),
    "new data": each_param(lambda data: data * 2 + 1),
    "data laid out anew": each_param(transpose_memory),
    "data with gaps": each_param(lambda data: torch.stack([data, data], -1)[..., 0]),
    "data swapped": swap_implementation,
    "everything to float32": to_float32,
    "state in place": each_state(lambda state: state.fill_(0.5)),
    "state replaced": each_state(lambda state: state + 1),
    "state.data swapped": each_state(swap_data),
    "state laid out anew": each_state(transpose_memory),
    "records replaced": each_record(lambda record: {key: value + 1 for key, value in record.items()}),
    "records emptied": each_record(lambda record: record.clear() or record),
    "one record gone": lambda optimizer, params: optimizer.state.pop(params[1]),
    "state cleared": lambda optimizer, params: optimizer.state.clear(),
    "count in place": each_count(lambda step: step.add_(10)),
    "count replaced": each_count(lambda step: step + 10),
    "count in float64": each_count(torch.Tensor.double),
    "count as integer": each_count(torch.Tensor.long),
    "count of one dimension": each_count(lambda step: step.reshape(1)),
    "groups copied": lambda optimizer, params: setattr(optimizer, "param_groups", [{**optimizer.param_groups[0]}]),
    "parameter removed": lambda optimizer, params: optimizer.param_groups[0]["params"].pop(1),
    "parameters reversed": lambda optimizer, params: optimizer.param_groups[0]["params"].reverse(),
}


@pytest.mark.parametrize("change", EDITS)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_edits_between_steps_are_seen(backend, case, change):
    twins = Twins(case)
    twins.step(3)
    for optimizer, params in twins.sides:
        EDITS[change](optimizer, params)
    twins.step(3)
    twins.assert_equal(check_dtype=False)  # torch counts on in int64, we need not


def test_count_may_be_set_to_a_number(backend):
    results = []
    for change in (lambda record: record.update(step=7), lambda record: record["step"].fill_(7)):
        params = parameters()
        optimizer = fusedopt.AdamW(params)
        train(optimizer, params, 2)
        change(optimizer.state[params[0]])
        train(optimizer, params, 2, start=2)
        results.append([*params, optimizer.state[params[0]]["step"]])
    assert_same_bits(*results)
    assert results[0][-1] == 9


@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_group_added_between_steps(backend, case):
    twins = Twins(case)
    twins.step(2)
    for optimizer, params in twins.sides:
        params += parameters(((3, 3), (2,)), torch.float64, seed=5)
        optimizer.add_param_group({"params": params[-2:], "lr": 0.07})
    twins.step(3)
    twins.assert_equal()


def test_amsgrad_switched_on_and_off(backend):
    """torch wants the maximum in the state by then; here it is created."""
    twins = Twins(STATEFUL[0])
    twins.step(3)
    for record in twins.reference.state.values():
        record["max_exp_avg_sq"] = torch.zeros_like(record["exp_avg_sq"])
    for amsgrad in (True, False, True):
        for optimizer, _ in twins.sides:
            optimizer.param_groups[0]["amsgrad"] = amsgrad
        twins.step(2)
        twins.assert_equal()


@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_data_of_another_dtype_keeps_the_state(backend, case):
    """torch cannot mix dtypes; here float64 weights simply go on with float32 state."""
    twins = Twins(case, torch.float32)
    twins.step(2)
    for optimizer, params in twins.sides:
        each_param(torch.Tensor.double)(optimizer, params)
    each_state(torch.Tensor.double)(twins.reference, twins.theirs)
    twins.step()
    assert {s.dtype for record in twins.optimizer.state.values() for s in record.values()} == {torch.float32}
    torch.testing.assert_close(twins.ours, twins.theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_backend_changed_between_steps(backend, case):
    params, expected = parameters(), parameters()
    optimizer = case.build(params)
    train(optimizer, params, 2)
    with fusedopt.use_backend("eager"):
        train(optimizer, params, 2, start=2)
    train(optimizer, params, 2, start=4)
    train(case.build(expected), expected, 6)
    assert_same_bits(params, expected)


def test_pre_hook_may_fill_the_state(backend):
    """A recipe for low-precision moments: what stands in the record is used, what is missing is created."""
    (p,), (q,) = parameters(((9,),)), parameters(((9,),))
    optimizer, plain = fusedopt.AdamW([p]), fusedopt.AdamW([q], state_format="bf16", state_rounding="nearest")

    def fill(optimizer, *_):
        for name in ("exp_avg", "exp_avg_sq"):
            optimizer.state[p].setdefault(name, torch.zeros_like(p, dtype=torch.bfloat16))

    optimizer.register_step_pre_hook(fill)
    train(optimizer, [p], 3)
    train(plain, [q], 3)
    assert_same_bits([p], [q])
    assert_same_bits(optimizer.state[p], plain.state[q])


def test_an_option_that_changes_in_place_is_noticed(backend):
    """A tensor stays the same object: SGD without momentum has another rule than with it."""
    momentum, p = torch.tensor(0.0), torch.ones(3, requires_grad=True)
    optimizer = fusedopt.SGD([p], lr=0.1, momentum=momentum)
    for value in (0.0, 0.0, 0.0, 0.5):  # the plan stands from the second step on
        momentum.fill_(value)
        p.grad = torch.ones_like(p)
        optimizer.step()
        assert ("momentum_buffer" in optimizer.state[p]) == (value > 0)
