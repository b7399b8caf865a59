"""Sums over micro-batches equal one large batch; the fractional filter; what is kept and when."""

import contextlib

import pytest
import torch
from conftest import backend, parameters  # noqa: F401

import fusedopt
from fusedopt.gradients import fractional_weights

SHAPES = ((6, 4), (5,))


def batches(count, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    return [[torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in SHAPES] for _ in range(count)]


def step(optimizer, params, grads):
    for p, g in zip(params, grads, strict=True):
        p.grad = g
    optimizer.step()


@pytest.mark.parametrize("options", [{}, {"max_grad_norm": 0.5, "weight_decay": 0.1}, {"ema": 0.9}], ids=str)
def test_micro_batches_equal_one_large_batch(options, backend):  # noqa: F811
    """Also with clipping, which sees the mean, and bias correction, which counts steps."""
    ours, theirs = parameters(SHAPES, torch.float64), parameters(SHAPES, torch.float64)
    micro, large = fusedopt.AdamW(ours, lr=0.1, accumulate=3, **options), fusedopt.AdamW(theirs, lr=0.1, **options)
    grads = batches(9)
    for i, g in enumerate(grads):
        step(micro, ours, g)
        if i % 3 == 2:
            step(large, theirs, [sum(three) / 3 for three in zip(*grads[i - 2 : i + 1], strict=True)])
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert micro.state[ours[0]]["step"] == 3


def test_between_steps_nothing_moves(backend):  # noqa: F811
    params = parameters(SHAPES)
    before = [p.detach().clone() for p in params]
    optimizer = fusedopt.AdamW(params, lr=0.1, accumulate=2)
    step(optimizer, params, batches(1, torch.float32)[0])
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))
    step(optimizer, params, batches(1, torch.float32)[0])
    assert not any(torch.equal(p, q) for p, q in zip(params, before, strict=True))


def test_weighted_micro_batches():
    """Means over 3 and 1 tokens make the mean over 4."""
    ours, theirs, (a, b) = parameters(SHAPES, torch.float64), parameters(SHAPES, torch.float64), batches(2)
    micro, large = fusedopt.SGD(ours, lr=0.1, accumulate=2), fusedopt.SGD(theirs, lr=0.1)
    for grads, tokens in ((a, 3), (b, 1)):
        micro.micro_batch_weight = tokens
        step(micro, ours, grads)
    step(large, theirs, [(3 * x + y) / 4 for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert micro.micro_batch_weight == 1.0


def test_sixteen_bit_gradients_are_summed_in_float32():
    (p,) = parameters(((4,),), torch.bfloat16)
    optimizer = fusedopt.SGD([p], lr=1.0, accumulate=256, weight_format="split32")
    before = p.detach().float()
    for _ in range(256):
        p.grad = torch.full((4,), 1.0, dtype=torch.bfloat16)
        optimizer.step()
        assert p.grad.dtype == torch.bfloat16
    torch.testing.assert_close(before - p.detach().float(), torch.ones(4), rtol=0, atol=2.0**-7)


def test_a_parameter_without_gradients_stays():
    params = parameters(SHAPES)
    optimizer = fusedopt.AdamW(params, lr=0.1, accumulate=2)
    before = params[1].detach().clone()
    for _ in range(4):
        params[0].grad = torch.ones_like(params[0])
        optimizer.step()
    assert torch.equal(params[1], before)
    assert params[1] not in optimizer.state


def test_a_window_survives_a_checkpoint():
    ours, theirs, grads = parameters(SHAPES), parameters(SHAPES), batches(2, torch.float32)
    first, second = fusedopt.AdamW(ours, lr=0.1, accumulate=2), fusedopt.AdamW(theirs, lr=0.1, accumulate=2)
    step(first, ours, grads[0])
    second.load_state_dict(first.state_dict())
    for optimizer, params in ((first, ours), (second, theirs)):
        step(optimizer, params, grads[1])
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], parameters(SHAPES)[0])


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_torch_goes_on_from_a_window(calls):
    """What was in an unfinished one is lost; a record of nothing else is left out, as docs/checkpoints.md says."""
    ours, theirs, plain = (parameters(SHAPES, torch.float64) for _ in range(3))
    optimizer, expected = fusedopt.AdamW(ours, lr=0.1, accumulate=2), torch.optim.AdamW(plain, lr=0.1)
    grads = batches(4)
    for g in grads[:calls]:
        step(optimizer, ours, g)
    saved = optimizer.state_dict()
    saved["state"] = {i: record for i, record in saved["state"].items() if record.keys() != {"accum"}}
    torchs = torch.optim.AdamW(theirs, lr=0.1)
    torchs.load_state_dict(saved)
    for p, q in zip(theirs, ours, strict=True):
        p.data.copy_(q.data)
    if calls > 1:
        step(expected, plain, [(a + b) / 2 for a, b in zip(*grads[:2], strict=True)])
    step(torchs, theirs, grads[3])
    step(expected, plain, grads[3])
    torch.testing.assert_close(theirs, plain, rtol=1e-12, atol=1e-12)


def test_a_step_that_raises_may_be_tried_again():
    """The micro-batch whose step raised counts once."""
    ours, theirs, grads = parameters(SHAPES, torch.float64), parameters(SHAPES, torch.float64), batches(4)
    micro, smooth = fusedopt.AdamW(ours, lr=0.1, accumulate=2), fusedopt.AdamW(theirs, lr=0.1, accumulate=2)
    for g in grads[:3]:
        step(micro, ours, g)
    record = micro.state[ours[1]]
    kept, record["exp_avg"], micro.micro_batch_weight = record["exp_avg"], torch.ones(3), 2.0
    with pytest.raises(ValueError, match="exp_avg"):
        step(micro, ours, grads[3])
    assert micro.micro_batch_weight == 2.0
    record["exp_avg"], micro.micro_batch_weight = kept, 1.0
    step(micro, ours, grads[3])
    for g in grads:
        step(smooth, theirs, g)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


def test_a_step_that_raises_keeps_the_history():
    """Of gradients, which are dropped only once the step has been made."""
    params = parameters(SHAPES)
    optimizer = fusedopt.AdamW(params, lr=0.1, accumulate=1, fractional=(0.5, 2))
    step(optimizer, params, batches(1, torch.float32)[0])
    history = optimizer.state[params[0]]["grad_hist"].clone()
    optimizer.state[params[1]]["exp_avg"] = torch.ones(3)
    with pytest.raises(ValueError, match="exp_avg"):
        step(optimizer, params, batches(2, torch.float32)[1])
    assert torch.equal(optimizer.state[params[0]]["grad_hist"], history)


def test_fractional_gradient_follows_its_formula(backend):  # noqa: F811
    ours, grads = parameters(SHAPES, torch.float64), batches(5)
    expected = [p.detach().clone() for p in ours]
    optimizer = fusedopt.SGD(ours, lr=0.1, fractional=(0.5, 3))
    weights = [0.25, 0.125, 0.078125]  # 1/2 * (1 - 1.5/2), times (1 - 1.5/3), times (1 - 1.5/4)
    assert fractional_weights(0.5, 3) == pytest.approx(weights)
    assert fractional_weights(1.0, 5) == [0.0] * 5  # the ordinary gradient
    for t, g in enumerate(grads):
        step(optimizer, ours, g)
        for i, p in enumerate(expected):
            p -= 0.1 * (g[i] + sum(w * grads[t - j][i] for j, w in enumerate(weights, 1) if j <= t))
    torch.testing.assert_close([p.detach() for p in ours], expected, rtol=1e-12, atol=1e-12)


def test_fractional_gradients_are_of_means(backend):  # noqa: F811
    """Windows of 3, 1 and 4 tokens weigh the same in the history."""
    ours, theirs, grads = parameters(SHAPES, torch.float64), parameters(SHAPES, torch.float64), batches(6)
    options = {"lr": 0.1, "fractional": (0.5, 2)}
    micro, large = fusedopt.SGD(ours, accumulate=2, **options), fusedopt.SGD(theirs, **options)
    for g, tokens in zip(grads, (2, 1, 0.5, 0.5, 1, 3), strict=True):
        micro.micro_batch_weight = tokens
        step(micro, ours, g)
    for a, b, tokens in ((0, 1, (2, 1)), (2, 3, (0.5, 0.5)), (4, 5, (1, 3))):
        pairs = zip(grads[a], grads[b], strict=True)
        step(large, theirs, [(tokens[0] * x + tokens[1] * y) / sum(tokens) for x, y in pairs])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_groups_must_agree_on_the_window():
    a, b = parameters(SHAPES)
    optimizer = fusedopt.SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    optimizer.param_groups[0]["accumulate"] = 2
    a.grad = torch.ones_like(a)
    with pytest.raises(ValueError, match=r"accumulate .* of the whole optimizer, but its groups differ: \[2, 1\]"):
        optimizer.step()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.0, 0.0), "micro_batch_weight was 0 for all micro-batches of a window"),
        ((1.0, -1.0), "Invalid micro_batch_weight: -1.0; give a finite number from 0, such as a token count"),
        ((1.0, float("nan")), "Invalid micro_batch_weight: nan"),
        ((1.0, float("inf")), "Invalid micro_batch_weight: inf"),
    ],
)
def test_weights_without_a_mean_are_refused_before_anything_is_written(weights, message):
    ours, theirs, (a, b) = parameters(SHAPES, torch.float64), parameters(SHAPES, torch.float64), batches(2)
    micro, large = fusedopt.SGD(ours, lr=0.1, accumulate=2), fusedopt.SGD(theirs, lr=0.1)
    micro.micro_batch_weight = weights[0]
    step(micro, ours, a)
    sums, micro.micro_batch_weight = micro.state[ours[0]]["accum"].clone(), weights[1]
    with pytest.raises(ValueError, match=message):
        step(micro, ours, b)
    assert torch.equal(micro.state[ours[0]]["accum"], sums)
    micro.micro_batch_weight = 1.0
    step(micro, ours, b)
    step(large, theirs, [(weights[0] * x + y) / (weights[0] + 1) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_micro_batch_that_overflows_is_left_out_of_its_window():
    """As the scaler does not call step: the window is the next finite ones, whatever the scale was for each."""
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    micro, large = fusedopt.SGD(ours, lr=0.1, accumulate=2), fusedopt.SGD(theirs, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    a, b = batches(2, torch.float32)
    for grads, factor in ((a, 1.0), (b, float("inf")), (b, 1.0)):
        scale = scaler.scale(torch.ones(())).item()
        for p, g in zip(ours, grads, strict=True):
            p.grad = g * factor * scale
        scaler.step(micro)
        scaler.update()
    assert scaler.get_scale() == 2.0
    step(large, theirs, [(x + y) / 2 for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert "accumulated" not in micro.param_groups[0]


OPTIONS = ({"accumulate": 2}, {"fractional": (0.5, 2)}, {"accumulate": 2, "fractional": (0.5, 2)})


def backward(model, x):
    model.zero_grad()
    model(x.to(model.weight.dtype)).sum().backward()
    return model.weight.grad.dtype


@pytest.mark.parametrize(("before", "after"), [(torch.float32, torch.float64), (torch.bfloat16, torch.float32)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_model_may_change_its_dtype(options, before, after, backend):  # noqa: F811
    """Its gradients follow, and from the next window on so do sums and histories: steps equal those of a new one."""
    model, x = torch.nn.Linear(2, 2, dtype=before), torch.ones(3, 2)
    optimizer = fusedopt.SGD(model.parameters(), lr=0.1, **options)
    for _ in range(2):
        assert backward(model, x) == before
        optimizer.step()
    model.to(after)
    for _ in range(2):
        assert backward(model, x) == after
        optimizer.step()
    kept = [value.dtype for value in (*optimizer.state[model.weight].values(), *optimizer.spare_sums.values())]
    assert kept
    assert set(kept) == {after}


@pytest.mark.parametrize("grad_dtype", [None, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_grad_dtype_stays(options, grad_dtype, backend):  # noqa: F811
    """Also where a step raises."""
    params = parameters(SHAPES, torch.bfloat16)
    optimizer = fusedopt.AdamW(params, lr=0.1, **options)
    for p in params:
        p.grad_dtype = grad_dtype
    for i, grads in enumerate(batches(4, grad_dtype or torch.float32)):
        if i == 3:
            optimizer.state[params[1]]["exp_avg"] = torch.ones(3)
        with pytest.raises(ValueError, match="exp_avg") if i == 3 else contextlib.nullcontext():
            step(optimizer, params, grads)
        assert all(p.grad is g and p.grad_dtype is grad_dtype for p, g in zip(params, grads, strict=True))


def test_a_gradient_from_before_a_change_of_dtype_is_stepped(backend):  # noqa: F811
    """Where only ``p.data`` changed, the gradient may be of a dtype that torch would not let one assign."""
    (p,) = parameters(((4,),), torch.bfloat16)
    optimizer = fusedopt.SGD([p], lr=1.0, accumulate=2)
    p.grad = torch.ones(4, dtype=torch.bfloat16)
    before, address = p.detach().float(), p.grad.data_ptr()
    p.data = p.data.float()
    for _ in range(2):
        optimizer.step()
        assert (p.grad.dtype, p.grad.data_ptr()) == (torch.bfloat16, address)
    assert torch.equal(p.detach(), before - 1)


def sgd_steps(options, changes, count):
    """Parameters after every step of SGD, whose first group is updated with ``changes[t]`` before call ``t``."""
    ours, found = parameters(SHAPES, torch.float64), []
    optimizer = fusedopt.SGD(ours, lr=0.1, **options)
    for t, grads in enumerate(batches(count)):
        optimizer.param_groups[0].update(changes.get(t, {}))
        step(optimizer, ours, grads)
        found.append([p.detach().clone() for p in ours])
    return optimizer, found


@pytest.mark.parametrize("terms", [1, 2, 4])
def test_the_number_of_terms_may_change(terms, backend):  # noqa: F811
    """The history is cut, or filled with zeros."""
    optimizer, found = sgd_steps({"fractional": (0.5, 2)}, {3: {"fractional": (0.5, terms)}}, 5)
    weights, grads = fractional_weights(0.5, terms), batches(5)
    for t, known in ((3, min(terms, 2)), (4, min(terms, 3))):  # of the terms of call t, those that are kept
        for i in range(len(SHAPES)):
            g = grads[t][i] + sum(w * grads[t - j][i] for j, w in enumerate(weights[:known], 1))
            torch.testing.assert_close(found[t][i], found[t - 1][i] - 0.1 * g, rtol=1e-12, atol=1e-12)
    assert all(len(record["grad_hist"]) == terms for record in optimizer.state.values())


@pytest.mark.parametrize("on", [{"fractional": (0.5, 2)}, {"fractional": (0.5, 2), "accumulate": 2}], ids=str)
def test_fractional_off_and_on_again_uses_no_old_gradients(on, backend):  # noqa: F811
    """Nor does it where sums are kept on."""
    window = on.get("accumulate", 1)
    changes = {2 * window: {"fractional": None}, 3 * window: {"fractional": (0.5, 2)}}
    _, found = sgd_steps(on, changes, 4 * window)
    last = [sum(grads) / window for grads in zip(*batches(4 * window)[3 * window :], strict=True)]
    for after, before, g in zip(found[-1], found[3 * window - 1], last, strict=True):
        torch.testing.assert_close(after, before - 0.1 * g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("options", "weight"), [({}, 0.0), ({"fractional": (0.5, 1)}, 0.25)], ids=str)
def test_accumulate_off_and_on_again_begins_a_window(options, weight, backend):  # noqa: F811
    """The micro-batch of a window that was left unfinished is in no step."""
    changes = {1: {"accumulate": 1}, 2: {"accumulate": 2}}
    _, found = sgd_steps({"accumulate": 2, **options}, changes, 4)
    start = [p.detach() for p in parameters(SHAPES, torch.float64)]
    for i, (_, b, c, d) in enumerate(zip(*batches(4), strict=True)):
        assert torch.equal(found[0][i], start[i])
        torch.testing.assert_close(found[1][i], start[i] - 0.1 * b, rtol=1e-12, atol=1e-12)
        assert torch.equal(found[2][i], found[1][i])
        expected = found[2][i] - 0.1 * ((c + d) / 2 + weight * b)
        torch.testing.assert_close(found[3][i], expected, rtol=1e-12, atol=1e-12)


def test_what_is_off_is_not_kept():
    optimizer, _ = sgd_steps({"accumulate": 2, "fractional": (0.5, 2)}, {3: {"accumulate": 1, "fractional": None}}, 4)
    assert not any(optimizer.state.values())
    assert not optimizer.spare_sums
    assert "accumulated" not in optimizer.param_groups[0]
