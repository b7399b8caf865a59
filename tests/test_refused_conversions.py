"""State dicts that cannot be converted, and options that converters do not have."""

import pytest
import torch
from converter_cases import convert, moments, with_weights

from fusedopt import convert_state_dict


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
    "our scales": ("fusedopt", "torch", with_entry("exp_avg_scale", torch.ones(2)), "has shape .2,. for 6400 codes"),
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
