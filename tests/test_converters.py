"""State dicts moved between libraries: exact where both hold the values, else within the stated bounds."""

import copy
import sys
import types

import pytest
import torch
from conftest import assert_same_bits, parameters, set_gradients, train
from converter_cases import SHAPES, TAILS, convert, floats, moments

import fusedopt
from fusedopt import codecs, convert_state_dict
from fusedopt.codecs import Stored
from fusedopt.state import EIGHT_BITS

KINDS = {"exp_avg": "signed", "exp_avg_sq": "positive"}
EIGHT_BIT = ("fusedopt", "bitsandbytes", "torchao", "flashoptim")


class OptimState8bit:
    """Stands in for torchao's tensor, which need not be installed: what it is made of, and what it stands for."""

    def __init__(self, codes, scale, qmap, signed, dtype=None):
        self.codes, self.scale, self.qmap, self.signed = codes, scale, qmap, signed
        self.shape = codes.shape

    def dequantize(self):
        rows = self.qmap[self.codes.int()].view(len(self.scale), -1)
        return (rows * self.scale.unsqueeze(1)).view(self.shape)


@pytest.fixture(autouse=True)
def torchao(monkeypatch):
    module = types.SimpleNamespace(OptimState8bit=OptimState8bit)
    monkeypatch.setitem(sys.modules, "torchao.optim.subclass_8bit", module)


# --- error bounds ---


def over_the_largest(x, block):
    """|x|, and the largest of its block, for every element."""
    size = x.abs().contiguous()
    flat = size.flatten()
    rows = torch.nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)
    return size, rows.amax(1).repeat_interleave(block)[: len(flat)].view(x.shape)


def ours(x, kind):
    size, largest = over_the_largest(x, 256)
    return torch.maximum(size / 17, largest * 1.25 * 2.0 ** (-16 if kind == "signed" else -32))


def dynamic(x, kind):
    """Half the wider of the gaps beside the value; from zero to the first code whole."""
    size, largest = over_the_largest(x, 256)
    values = codecs.dynamic_tree(kind == "signed")
    values = values[values >= 0]
    place = torch.bucketize(size / largest, values).clamp(1, len(values) - 1)
    gaps = values[1:] - values[:-1]
    gaps = torch.cat([gaps[:-1], gaps[-2:-1].expand(2)])  # 1.0 is half a cell above the last, and has no negative
    widest = torch.maximum(gaps[place - 1], gaps[place]) / 2
    return largest * 1.008 * torch.maximum(widest, values[1])  # the scale is larger where the least is -0.993


def companded(x, kind):
    """Of momenta, and of the roots of second moments."""
    size, largest = over_the_largest(x if kind == "signed" else x.sqrt(), 32)
    y = size / largest
    if kind == "signed":
        return largest * torch.maximum((1 + y).square() / 500, torch.tensor(1 / 250))
    error = largest * torch.where(y < 1 / 250, 1 / 250, 1 / 500)
    return error * (2 * size + error)


BOUNDS = {"fusedopt": ours, "bitsandbytes": dynamic, "torchao": dynamic, "flashoptim": companded}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("target", EIGHT_BIT)
def test_encoding_errs_within_the_bound_and_keeps_what_is_not_zero(target, tail):
    saved = moments(tail)
    found = floats(convert(saved, "torch", target, state_format="8bit"), target)
    for i, record in saved["state"].items():
        assert found[i]["step"] == 7
        for name, kind in KINDS.items():
            x, bound = record[name], BOUNDS[target](record[name], kind) * (1 + 1e-5)
            assert ((found[i][name] - x).abs() <= bound).all(), (i, name)
            kept = (x == 0) | (x.abs() >= bound * ((target, kind) == ("fusedopt", "signed")))
            assert torch.equal(found[i][name][kept].sign(), x[kept].sign()), (i, name)


@pytest.mark.parametrize("middle", EIGHT_BIT)
def test_codes_survive_float32_and_back(middle):
    """Decoding is exact, and encoding what was decoded gives the same codes: converting twice loses nothing more."""
    saved = convert(moments("lognormal"), "torch", middle, state_format="8bit")
    plain = convert(saved, middle, "torch")
    again = convert(plain, "torch", middle, state_format="8bit")
    back = floats(again, middle)
    for i, record in floats(saved, middle).items():
        for name in KINDS:
            torch.testing.assert_close(back[i][name], record[name], rtol=2e-7, atol=0)


@pytest.mark.parametrize("source", ["bitsandbytes", "torchao"])
def test_their_codes_are_ours_in_the_dynamic_format(backend, source):
    saved = convert(moments("lognormal"), "torch", source, state_format="8bit")
    ours = convert(saved, source, "fusedopt", state_format="8bit_dynamic")
    plain, found = floats(saved, source), floats(ours, "fusedopt")
    large = found[0]
    assert ours["state"][0]["exp_avg"].dtype == ours["state"][0]["exp_avg_sq"].dtype == torch.uint8
    for name in KINDS:
        torch.testing.assert_close(large[name], plain[0][name], rtol=2e-7, atol=0)  # scales are quotients
    params = parameters(SHAPES)
    optimizer = fusedopt.AdamW8bit(params)
    optimizer.load_state_dict(ours)
    train(optimizer, params, 1)
    assert optimizer.param_groups[0]["state_format"] == "8bit_dynamic"
    back = convert(optimizer.state_dict(), "fusedopt", source)
    assert floats(back, source)[0]["step"] == 8


@pytest.mark.parametrize("target", ["torch", "bitsandbytes", "torchao", "flashoptim", "fusedopt"])
@pytest.mark.parametrize("source", EIGHT_BIT)
def test_floats_and_options_are_carried_over_exactly(source, target):
    saved = moments("lognormal")
    before = copy.deepcopy(saved)
    theirs = convert(saved, "torch", source)
    through = convert(convert(theirs, source, target), target, "torch")
    for i, record in before["state"].items():
        assert_same_bits(through["state"][i], record)
        assert_same_bits(saved["state"][i], record)
    group = through["param_groups"][0]
    assert {key: group[key] for key in ("params", "lr", "betas", "eps", "weight_decay")} == {
        "params": [0, 1, 2],
        "lr": pytest.approx(0.1, rel=1e-7),  # torchao's is a float32
        "betas": (0.8, 0.95),
        "eps": 1e-8,
        "weight_decay": 1e-2,
    }


def test_any_float_becomes_float32_when_asked_for():
    saved = moments("normal")
    for record in saved["state"].values():
        record["exp_avg"] = record["exp_avg"].bfloat16()
    kept, wide = (convert(saved, "torch", "fusedopt", state_format=format) for format in (None, "fp32"))
    for i, record in saved["state"].items():
        assert_same_bits(kept["state"][i], record)
        assert_same_bits(wide["state"][i], {**record, "exp_avg": record["exp_avg"].float()})


# --- the forms ---


def test_bitsandbytes_form():
    theirs = convert(moments("normal"), "torch", "bitsandbytes", state_format="8bit")
    large, small = theirs["state"][2], theirs["state"][1]
    assert {key: (tuple(t.shape), t.dtype) for key, t in large.items() if key != "step"} == {
        "state1": ((50, 100), torch.uint8),
        "state2": ((50, 100), torch.uint8),
        "qmap1": ((256,), torch.float32),
        "qmap2": ((256,), torch.float32),
        "absmax1": ((20,), torch.float32),
        "absmax2": ((20,), torch.float32),
    }
    assert large["step"] == 7
    assert_same_bits([small["state1"]], [moments("normal")["state"][1]["exp_avg"]])
    assert theirs["param_groups"][0].keys() >= {"alpha", "t_alpha", "t_beta3"}
    wrapped = copy.deepcopy(theirs)  # as versions since 0.49 save it
    for record in wrapped["state"].values():
        record["__bnb_optimizer_quant_state__"] = {key: record.pop(key) for key in [*record] if key != "step"}
    for i, record in floats(theirs, "bitsandbytes").items():
        assert_same_bits(floats(wrapped, "bitsandbytes")[i], record)


def test_codes_by_hand():
    """One value in each form: 0.5 and -0.25 beside a largest of 1, a second moment of 0.25 beside 1."""
    m, v = torch.zeros(4096), torch.zeros(4096)
    m[:3], v[:2] = torch.tensor([1.0, 0.5, -0.25]), torch.tensor([1.0, 0.25])
    saved = moments("normal")
    saved["state"] = {0: {"step": torch.tensor(1.0), "exp_avg": m, "exp_avg_sq": v}}
    saved["param_groups"][0]["params"] = [0]
    form = {
        target: convert(saved, "torch", target, state_format="8bit", params=[torch.zeros(4096)])["state"][0]
        for target in EIGHT_BIT
    }
    assert form["fusedopt"]["exp_avg"][:4].tolist() == [127, 119, -111, 0]  # eight codes an octave
    assert form["fusedopt"]["exp_avg_sq"][:3].tolist() == [255, 239, 0]
    assert form["flashoptim"]["exp_avg::quantized"][:4].tolist() == [127, 85, -51, 0]  # 127 * 2 y / (1 + |y|)
    assert form["flashoptim"]["exp_avg_sq::quantized"][:3].tolist() == [255, 128, 0]  # 255 sqrt(v)
    for codes in (form["bitsandbytes"]["state1"], form["torchao"]["exp_avg"].codes):
        values = codecs.dynamic_tree(True)[codes[:4].int()]
        torch.testing.assert_close(values, torch.tensor([1.0, 0.5, -0.25, 0.0]), rtol=0, atol=0.9 / 128)  # half a cell
        assert codes[3] == 127


def test_a_momentum_alone_is_lions():
    (p,) = parameters(((64, 100),))
    lion = fusedopt.Lion8bit([p], lr=0.1)
    train(lion, [p], 3)
    theirs = convert_state_dict(lion.state_dict(), "fusedopt", "bitsandbytes")
    assert theirs["state"][0].keys() == {"step", "state1", "qmap1", "absmax1"}
    assert theirs["param_groups"][0]["eps"] == 0
    back = convert_state_dict(theirs, "bitsandbytes", "fusedopt")
    lion.load_state_dict(back)
    assert lion.param_groups[0]["state_format"] == "8bit"


@pytest.mark.parametrize("middle", ["bitsandbytes", "torchao", "flashoptim"])
def test_training_goes_on_with_converted_state(backend, middle):
    """The next update differs from that of exact state by what the bounds allow: a fifth of a step of lr."""
    params, exact = parameters(SHAPES), parameters(SHAPES)
    theirs = convert(moments("normal"), "torch", middle, state_format="8bit")
    optimizer, plain = fusedopt.AdamW8bit(params), fusedopt.AdamW(exact)
    optimizer.load_state_dict(convert(theirs, middle, "fusedopt"))
    plain.load_state_dict(moments("normal"))
    assert optimizer.state[params[0]]["exp_avg"].dtype == torch.int8
    for seed in range(2):
        for q in (params, exact):
            set_gradients(q, seed)
        optimizer.step()
        plain.step()
    for p, q in zip(params, exact, strict=True):
        assert (p - q).abs().mean() < 0.05 * 0.1
    assert optimizer.state[params[0]]["step"] == 9


def test_memory_order_of_our_codes_is_followed():
    p = parameters(((8, 64, 3, 3),))[0].detach().to(memory_format=torch.channels_last).requires_grad_()
    optimizer = fusedopt.AdamW8bit([p])
    train(optimizer, [p], 2)
    record = optimizer.state[p]
    plain = convert_state_dict(optimizer.state_dict(), "fusedopt", "torch")["state"][0]
    back = convert_state_dict(
        convert_state_dict(optimizer.state_dict(), "fusedopt", "bitsandbytes"), "bitsandbytes", "torch"
    )["state"][0]
    for name, kind in KINDS.items():
        expected = Stored(record[name], record[f"{name}_scale"], EIGHT_BITS["8bit"][kind], p.numel(), 0).read()
        assert_same_bits([plain[name]], [expected])
        assert ((back[name] - expected).abs() <= dynamic(expected, kind) * (1 + 1e-5)).all()
