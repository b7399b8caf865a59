"""States and weights in a codec: the same bits on every engine, and values that one can work out by hand."""

import math

import pytest
import torch
from codec_cases import CODED, WEIGHTS
from conftest import assert_same_bits, parameters, records, set_gradients, train

import fusedopt
from fusedopt import codecs
from fusedopt.backends import native
from fusedopt.backends.cpu import Cpu
from fusedopt.backends.engine import Engine
from fusedopt.state import NEAREST

needs_cpu = pytest.mark.skipif(bool(native.missing), reason=str(native.missing))
SHAPES = ((7, 5), (), (0, 3), (256,), (40, 300), (3, 1001), (12, 4, 3, 3))
HALVES = (torch.bfloat16, torch.float16)


def refused(case, dtype):
    return dtype == torch.float16 and case.options.get("weight_format", "").startswith("split")


def spread_gradients(params, seed):
    """Gradients whose elements differ by many orders of magnitude, some of them zero."""
    set_gradients(params, seed)
    for p in params:
        p.grad *= torch.exp(2 * p.grad.float()).to(p.dtype)
        p.grad.flatten()[::7] = 0


def outcome(case, dtype, backend, steps=4):
    params = parameters(SHAPES, dtype)
    optimizer = case.build(params)
    with fusedopt.use_backend(backend):
        for seed in range(steps):
            spread_gradients(params, seed)
            optimizer.step()
    return params, records(optimizer, params)


@needs_cpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
@pytest.mark.parametrize("case", CODED, ids=str)
def test_engines_agree(case, dtype):
    if refused(case, dtype):
        pytest.skip("a split needs bfloat16")
    (params, states), (expected, expected_states) = (outcome(case, dtype, name) for name in ("cpu", "eager"))
    assert_same_bits(params, expected)
    for state, other in zip(states, expected_states, strict=True):
        assert_same_bits(state, other)


@needs_cpu
@pytest.mark.parametrize("cls", [fusedopt.CAME, fusedopt.AdaMini, fusedopt.SM3], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("weight_format", ["plain", "split24"])
def test_engines_that_read_no_codec_step_copies(cls, weight_format, monkeypatch):
    """Rules with statistics on GPU engines: states and weights are decoded and encoded around the step."""
    expected, params = parameters(SHAPES, torch.bfloat16), parameters(SHAPES, torch.bfloat16)
    options = {"lr": 0.01, "state_format": "8bit", "weight_format": weight_format}
    with fusedopt.use_backend("cpu"):
        plain, copied = cls(expected, **options), cls(params, **options)
        train(plain, expected, 3)
        monkeypatch.setattr(Cpu, "reads", staticmethod(Engine.reads))
        train(copied, params, 3)
    assert_same_bits(params, expected)
    for state, other in zip(records(copied, params), records(plain, expected), strict=True):
        assert_same_bits(state, other)


VALUES = [1.0, -1.0, 0.5, -0.26, 2.0**-15.75, -(2.0**-20), 1e-30, 0.0]


def encoded(codec, values, key=0):
    x = torch.tensor(values)
    main, side = torch.empty(len(x), dtype=codec.main), torch.empty(1)
    codec.encode(x, main, side, len(x), key)
    return main, side


@pytest.mark.parametrize(
    ("codec", "values", "codes"),
    [
        (codecs.SIGNED8, VALUES, [127, -127, 119, -111, 1, 0, 0, 0]),
        (codecs.POSITIVE8, [abs(x) for x in VALUES], [255, 255, 247, 239, 129, 95, 1, 0]),
    ],
    ids=["signed", "positive"],
)
def test_codes_are_the_top_bits(codec, values, codes):
    """Eight an octave below 1.0; -0.26 lies nearest to 0.25; only signed values become zero."""
    main, side = encoded(codec, values)
    assert main.tolist() == codes
    assert side.item() == 1.0


EDGES = {1.25: 1, 1.1875: 1, 1.1874999: 0, 0.625: 0, 1e-30: 0, 0.0: 0}  # codes of values over 2^-16 of the largest


@pytest.mark.parametrize("size", [16, 300])
def test_momenta_below_095_of_the_smallest_value_become_zero(backend, size):
    """SGD's first gradient is its momentum; in a whole block and in parts of one."""
    p = torch.zeros(size, requires_grad=True)
    p.grad = torch.zeros(size)
    values = torch.tensor([*EDGES]) * 2.0**-16
    p.grad[:13] = torch.cat([values, -values, torch.ones(1)])
    optimizer = fusedopt.SGD8bit([p], momentum=0.9, state_rounding="nearest")
    optimizer.step()
    codes = optimizer.state[p]["momentum_buffer"].tolist()
    assert codes[:13] == [*EDGES.values(), *(-code for code in EDGES.values()), 127]


def test_below_the_smallest_value_chance_decides_between_it_and_zero(backend):
    """Zero stands an eighth of 2^-16 below 1.25 * 2^-16; 1.15625 is a quarter of the way."""
    p = torch.zeros(40 * 256, requires_grad=True)
    p.grad = torch.full_like(p, 1.15625 * 2.0**-16) * (1 - 2 * (torch.arange(len(p)) % 2))
    p.grad[1::4] = 1.125 * 2.0**-16
    p.grad[::256] = 1.0
    optimizer = fusedopt.SGD8bit([p], momentum=0.9)
    optimizer.step()
    codes = optimizer.state[p]["momentum_buffer"].view(-1, 256)[:, 1:]
    quarter = codes[:, torch.arange(1, 256) % 4 != 1].flatten()
    assert not codes[:, ::4].any()
    assert set(quarter.tolist()) == {-1, 0, 1}
    assert abs(quarter.abs().double().mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(quarter))


@pytest.mark.parametrize("codec", [*NEAREST, *NEAREST.values()], ids=str)
def test_every_code_is_kept(codec):
    """Decoding and encoding again changes no code: a block that is not updated does not drift."""
    codes = torch.arange(1, codec.last + 1).to(codec.main)[-256:]
    values = codec.decode(codes, torch.tensor([3.0]), len(codes))
    main, side = encoded(codec, values.tolist(), key=77)
    assert torch.equal(main, codes)
    assert side.item() == 3.0


@pytest.mark.parametrize("signed", [True, False])
def test_dynamic_codes_are_the_nearest(signed):
    codec = codecs.DYNAMIC_SIGNED if signed else codecs.DYNAMIC_POSITIVE
    x = torch.linspace(-1 if signed else 0, 1, 255)
    x = torch.cat([x.sign() * x.abs() ** 3, torch.ones(1)])
    main, side = encoded(codec, x.tolist())
    distances = (codecs.dynamic_tree(signed).double() - x.double().unsqueeze(1)).abs()
    chosen = distances.gather(1, main.long().unsqueeze(1)).squeeze(1)
    assert side.item() == 1.0
    assert (chosen <= distances.amin(1) + 2**-24).all()  # halves of float32 sums


def test_blocks_are_independent_and_rows_begin_new_ones():
    """A huge value costs precision in its own block of 256 elements only."""
    p = torch.zeros(3, 300, requires_grad=True)
    p.grad = torch.full((3, 300), 1e-3)
    p.grad[0, 0] = 1e6
    optimizer = fusedopt.AdamW8bit([p])
    optimizer.step()
    scale = optimizer.state[p]["exp_avg_scale"]
    assert scale.shape == (math.ceil(900 / 256),)
    torch.testing.assert_close(scale, torch.tensor([1e5, 1e-4, 1e-4, 1e-4]))
    came = fusedopt.CAME([p], lr=1e-3, state_format="8bit")
    came.step()
    assert came.state[p]["exp_avg_scale"].shape == (3, math.ceil(300 / 256))


@pytest.mark.parametrize("weight_format", WEIGHTS)
def test_weights_are_the_nearest_to_what_they_stand_for(backend, weight_format):
    """Forward passes see properly rounded weights; only chance may choose the neighbour."""
    (p,) = parameters(((2000,),), torch.bfloat16)
    optimizer = fusedopt.AdamW([p], lr=1e-3, weight_format=weight_format)
    train(optimizer, [p], 3)
    codec, record = codecs.WEIGHTS[weight_format, p.dtype], optimizer.state[p]
    master = codec.decode(p.detach(), record.get("weight_residual"), p.numel())
    allowed = 2.0**-7 if weight_format == "stochastic" else 2.0**-8  # a unit, or half of one, of eight bits
    assert ((p.float() - master).abs() <= allowed * master.abs()).all()
    assert ("weight_residual" in record) == (codec.side is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("cls", [fusedopt.AdamW8bit, fusedopt.Adafactor, fusedopt.CAME], ids=lambda cls: cls.__name__)
def test_telemetry(backend, cls, dtype):
    """Norms against float64; counts against what was put in."""
    params = parameters(SHAPES, dtype)
    optimizer = cls(params, lr=0.01, telemetry=True)
    for seed in range(3):
        spread_gradients(params, seed)
        params[3].grad[5], params[3].grad[9] = math.inf, math.nan
        before = [p.detach().double() for p in params]
        optimizer.step()
    seen = [optimizer.telemetry[p] for p in params]
    assert [x.nonfinite for x in seen] == [0, 0, 0, 2, 0, 0, 0]
    for x, p, old in zip(seen, params, before, strict=True):
        if x.nonfinite == 0:
            assert x.grad_norm == pytest.approx(p.grad.double().norm().item(), rel=1e-12)
            moved = (p.detach().double() - old).norm().item()
            rounding = torch.finfo(dtype).eps * old.norm().item()  # of the stored parameter
            assert x.update_norm == pytest.approx(moved, abs=rounding)


@needs_cpu
def test_telemetry_counts_codes_alike():
    seen = {}
    for backend in ("cpu", "eager"):
        params = parameters(SHAPES)
        optimizer = fusedopt.AdamW8bit(params, telemetry=True)
        with fusedopt.use_backend(backend):
            spread_gradients(params, 0)
            optimizer.step()
        seen[backend] = [(x.flushed, x.saturated) for x in optimizer.telemetry.values()]
    assert seen["cpu"] == seen["eager"]
    assert sum(flushed for flushed, _ in seen["cpu"]) > 0
    assert not any(saturated for _, saturated in seen["cpu"])


def test_telemetry_is_off_unless_asked_for(backend):
    params = parameters()
    optimizer = fusedopt.AdamW(params)
    train(optimizer, params, 1)
    assert optimizer.telemetry == {}


@pytest.mark.parametrize("name", ["split24", "split32"])
def test_splits_of_float16_are_refused(name):
    with pytest.raises(ValueError, match=f"weight_format='{name}' needs bfloat16 weights, but params.0. is float16"):
        fusedopt.AdamW([torch.zeros(3, dtype=torch.float16, requires_grad=True)], weight_format=name)


@pytest.mark.parametrize("option", ["state_format", "state_rounding", "weight_format"])
def test_unknown_names_are_refused(option):
    with pytest.raises(ValueError, match=f"Invalid {option}: '7bit'; choose from "):
        fusedopt.AdamW(parameters(), **{option: "7bit"})


def test_a_changed_format_is_noticed(backend):
    """A step that was planned for stochastic rounding is planned anew when the group asks for another."""
    (p,), (q,) = parameters(((300,),), torch.bfloat16), parameters(((300,),), torch.bfloat16)
    changed = fusedopt.AdamW8bit([p], weight_format="stochastic")
    other = fusedopt.AdamW8bit([q], weight_format="stochastic")
    for optimizer, x in ((changed, p), (other, q)):
        train(optimizer, [x], 1)
    changed.param_groups[0].update(state_rounding="nearest", weight_format="split24")
    for optimizer, x in ((changed, p), (other, q)):
        train(optimizer, [x], 1, start=1)
    assert changed.state[p]["weight_residual"].dtype == torch.int8
    assert not torch.equal(changed.state[p]["exp_avg_sq"], other.state[q]["exp_avg_sq"])


def test_random_bits_are_the_engines_business_not_the_planners():
    """Groups, backends and other tensors do not change a tensor's random bits; its place in the optimizer does."""
    (p,), (q, r) = parameters(((300,),), torch.bfloat16), parameters(((300,), (300,)), torch.bfloat16)
    with torch.no_grad():
        r.copy_(q.copy_(p))
    alone = fusedopt.AdamW([p], weight_format="stochastic")
    pair = fusedopt.AdamW([{"params": [q], "lr": 1e-3}, {"params": [r], "eps": 1e-8}], weight_format="stochastic")
    for x in (p, q, r):
        x.grad = torch.ones_like(x) * 1e-3
    alone.step()
    pair.step()
    assert torch.equal(p, q)
    assert not torch.equal(q, r)
