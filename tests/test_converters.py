"""State dicts moved between libraries: exact where both hold the values, else within the stated bounds."""

import copy
import importlib
import sys
import types
import warnings

import pytest
import torch
from conftest import assert_same_bits, parameters, set_gradients, train

import fusedopt
from fusedopt import codecs, convert_state_dict
from fusedopt.cli import main
from fusedopt.codecs import Stored
from fusedopt.state import EIGHT_BITS

SHAPES = ((16, 400), (7,), (50, 100))  # whole blocks of 256 and 32; too small for most peers' codes; a short last block
KINDS = {"exp_avg": "signed", "exp_avg_sq": "positive"}
TAILS = {"normal": 0.0, "lognormal": 2.0}  # sigma of the magnitudes within a block
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


def moments(tail):
    """Adam's state dict as torch saves it, with moments of a spread that training shows."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for i, shape in enumerate(SHAPES):
        size = torch.exp(TAILS[tail] * torch.randn(shape, generator=generator)) * 1e-3
        m, v = torch.randn(shape, generator=generator) * size, torch.rand(shape, generator=generator) * size * size
        m.view(-1)[:2], v.view(-1)[:2] = 0.0, 0.0
        state[i] = {"step": torch.tensor(7.0), "exp_avg": m, "exp_avg_sq": v}
    group = torch.optim.AdamW(parameters(SHAPES), lr=0.1, betas=(0.8, 0.95)).state_dict()["param_groups"][0]
    return {"state": state, "param_groups": [group]}


def convert(saved, source, target, **options):
    """With parameters, which only flashoptim's form needs."""
    return convert_state_dict(saved, source, target, **{"params": parameters(SHAPES), **options})


def floats(saved, source):
    return convert(saved, source, "torch")["state"]


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


# --- weights of more than 16 bits ---


def exact_weights():
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(4000, generator=generator) * torch.exp(3 * torch.randn(4000, generator=generator))
    w[:6] = torch.tensor([0.0, 1.0, -1.0, 0.99999, 1.00001, 2.0 - 2.0**-12])  # beside and at powers of two
    return w


def unit(p):
    """A unit in the last place of a 16-bit float."""
    exponent = torch.frexp(p.detach().float()).exponent - 1
    return torch.ldexp(torch.full(p.shape, torch.finfo(p.dtype).eps), exponent)


def with_weights(dtype, weight_format):
    """A model's 16-bit weights, our state dict that keeps more of them, and what the two stand for."""
    p = exact_weights().to(dtype).requires_grad_()
    optimizer = fusedopt.AdamW([p], state_format="fp32", weight_format=weight_format)
    set_gradients([p], 0)
    optimizer.step()
    return p, optimizer.state_dict(), weight_of(p, optimizer.state[p]["weight_residual"], weight_format)


def weight_of(p, residual, weight_format):
    return codecs.WEIGHTS[weight_format, p.dtype].decode(p.detach(), residual, p.numel())


WEIGHTS = {  # bounds in units in the last place, to flashoptim's form and back
    (torch.bfloat16, "split24"): (1.0001 / 508, 1.0001 / 508 + 1 / 256),
    (torch.bfloat16, "split32"): (1e-5, 1e-5 + 2**-16),
    (torch.float16, "kahan"): (1 / 65534 + 2**-13, 1 / 65534 + 2**-12),  # float32 has no more bits beside the largest
}


@pytest.mark.parametrize(("dtype", "weight_format"), WEIGHTS, ids=str)
def test_weights_keep_their_bits_in_flashoptims_form_and_back(dtype, weight_format):
    p, saved, weight = with_weights(dtype, weight_format)
    there, back = WEIGHTS[dtype, weight_format]
    flash = convert_state_dict(saved, "fusedopt", "flashoptim", params=[p])
    width = 3 if weight_format == "split24" else 4
    assert flash["param_groups"][0]["master_bytewidth"] == width
    errors = flash["state"][0]["error_bits"]
    assert errors.dtype == dtype  # so that torch does not cast it
    errors = errors.to(torch.int8) if width == 3 else errors.view(torch.int16)
    largest = torch.iinfo(errors.dtype).max
    found = p.detach().double() + errors.double() / largest * unit(p).double() / 2
    tiny = 2.0**-25  # float16 residuals have no more bits below
    assert ((found - weight).abs() <= there * unit(p) + (tiny if dtype == torch.float16 else 0)).all()
    ours = convert_state_dict(flash, "flashoptim", "fusedopt", params=[p])
    assert ours["param_groups"][0]["weight_format"] == weight_format
    found = weight_of(p, ours["state"][0]["weight_residual"], weight_format)
    assert ((found - weight).abs() <= back * unit(p) + (tiny if dtype == torch.float16 else 0)).all()


def test_other_libraries_round_weights_and_say_so():
    _, saved, _ = with_weights(torch.bfloat16, "split24")
    with pytest.warns(UserWarning, match="torch keeps 16 bits of 16-bit weights"):
        plain = convert_state_dict(saved, "fusedopt", "torch")
    assert plain["state"][0].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert "weight_format" not in plain["param_groups"][0]


# --- refusals ---


def without(key):
    def spoil(saved):
        del saved["state"][0][key]

    return spoil


def with_entry(key, value):
    def spoil(saved):
        saved["state"][0][key] = value

    return spoil


def of_sgd(saved):
    saved["param_groups"][0]["betas"] = (0.9, 0)
    del saved["state"][0]["state2"]


REFUSALS = {
    "scales missing": ("bitsandbytes", "torch", without("absmax2"), r"bitsandbytes: state\[0\] lacks 'absmax2'"),
    "too few scales": ("bitsandbytes", "torch", with_entry("absmax1", torch.ones(3)), "6400 codes have 3 scales"),
    "another momentum": ("bitsandbytes", "torch", of_sgd, "not those of Adam"),
    "another key": ("torch", "fusedopt", with_entry("row_var", torch.ones(1)), r"torch: state\[0\]: .*'row_var'"),
    "our scales": ("fusedopt", "torch", with_entry("exp_avg_scale", torch.ones(2)), "has 2 values for 6400 codes"),
    "flash's scales": ("flashoptim", "torch", without("exp_avg::scales"), "lacks 'exp_avg::scales'"),
    "infinite": ("torch", "fusedopt", with_entry("exp_avg", torch.full((16, 400), torch.inf)), "is not finite"),
    "too large": ("torch", "flashoptim", with_entry("exp_avg", torch.full((16, 400), 1e6)), "too large for float16"),
    "a bound": ("torch", "bitsandbytes", with_entry("max_exp_avg_sq", torch.ones(16, 400)), "'max_exp_avg_sq' has no"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_cannot_be_converted_is_refused(refusal):
    source, target, spoil, message = REFUSALS[refusal]
    saved = convert(moments("normal"), "torch", source, state_format=None if source == "torch" else "8bit")
    spoil(saved)
    with pytest.raises(ValueError, match=message):
        convert(saved, source, target, state_format=None if target == "torch" else "8bit")


def test_options_are_checked():
    saved = moments("normal")
    with pytest.raises(ValueError, match="Invalid source: 'apex'; choose from fusedopt, torch"):
        convert_state_dict(saved, "apex", "torch")
    with pytest.raises(ValueError, match="Invalid target: 'apex'"):
        convert_state_dict(saved, "torch", "apex")
    with pytest.raises(ValueError, match="Invalid state_format for fusedopt: '4bit'; choose from 8bit, 8bit_dynamic"):
        convert_state_dict(saved, "torch", "fusedopt", state_format="4bit")
    with pytest.raises(ValueError, match="Invalid state_format for torch: '8bit'; choose from fp32"):
        convert_state_dict(saved, "fusedopt", "torch", state_format="8bit")
    with pytest.raises(ValueError, match="dtype of the weight; pass params"):
        convert_state_dict(saved, "torch", "flashoptim")
    p, saved, _ = with_weights(torch.bfloat16, "split24")
    flash = convert_state_dict(saved, "fusedopt", "flashoptim", params=[p])
    with pytest.raises(ValueError, match="depends on the weight; pass params"):
        convert_state_dict(flash, "flashoptim", "fusedopt")


# --- the command ---


def test_command(tmp_path, backend):
    source, middle, end, model = (str(tmp_path / name) for name in ("source.pt", "flash.pt", "end.pt", "model.pt"))
    net = torch.nn.Linear(90, 60).bfloat16()
    optimizer = fusedopt.AdamW8bit(net.named_parameters(), weight_format="split24")
    train(optimizer, list(net.parameters()), 2)
    torch.save(optimizer.state_dict(), source)
    torch.save(dict(reversed(net.state_dict().items())), model)  # found by name
    main(["convert", source, middle, "--from", "fusedopt", "--to", "flashoptim", "--weights", model])
    main(["convert", middle, end, "--from", "flashoptim", "--to", "fusedopt", "--weights", model])
    optimizer.load_state_dict(torch.load(end, weights_only=True))
    train(optimizer, list(net.parameters()), 1)
    with pytest.raises(SystemExit, match="pass params"):
        main(["convert", source, middle, "--from", "fusedopt", "--to", "flashoptim"])
    with pytest.raises(SystemExit, match="expected an optimizer's 'state' and 'param_groups'"):
        main(["convert", model, middle, "--from", "torch", "--to", "fusedopt"])


# --- the libraries themselves, where they are installed ---


def installed(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["AdamW8bit", "Lion8bit"])
def test_bitsandbytes_steps_alike_after_a_round_trip(name):
    cls = getattr(installed("bitsandbytes").optim, name)
    params = parameters(SHAPES)
    optimizer = cls(params, lr=0.01)
    train(optimizer, params, 3)
    plain = convert_state_dict(optimizer.state_dict(), "bitsandbytes", "torch")
    copies = [p.detach().clone().requires_grad_() for p in params]
    other = cls(copies, lr=9.0)
    other.load_state_dict(convert_state_dict(plain, "torch", "bitsandbytes", state_format="8bit"))
    train(optimizer, params, 1, start=3)
    train(other, copies, 1, start=3)
    torch.testing.assert_close(copies, params, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_torchao_loads_and_saves_what_was_converted(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchao.optim.subclass_8bit")
    torchao = installed("torchao.optim")
    theirs = convert(moments("lognormal"), "torch", "torchao", state_format="8bit")
    params = parameters(SHAPES)
    optimizer = torchao.AdamW8bit(params)
    optimizer.load_state_dict(theirs)
    assert isinstance(optimizer.state[params[0]]["exp_avg"], torchao.subclass_8bit.OptimState8bit)
    assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor)
    found, expected = floats(optimizer.state_dict(), "torchao"), floats(theirs, "torchao")
    for i, record in expected.items():
        assert_same_bits(found[i], record)
