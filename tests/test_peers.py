"""Other libraries go on with what was converted for them, where they are installed."""

import importlib
import warnings

import pytest
import torch
from conftest import assert_same_bits, parameters, train
from converter_cases import SHAPES, convert, floats, moments

from fusedopt import convert_state_dict


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
def test_torchao_loads_and_saves_what_was_converted():
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
