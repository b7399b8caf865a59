"""Weights of more than 16 bits, moved between libraries: by the function, and by the command."""

import pytest
import torch
from conftest import train
from converter_cases import weight_of, with_weights

import fusedopt
from fusedopt import convert_state_dict
from fusedopt.cli import main


def unit(p):
    """A unit in the last place of a 16-bit float."""
    exponent = torch.frexp(p.detach().float()).exponent - 1
    return torch.ldexp(torch.full(p.shape, torch.finfo(p.dtype).eps), exponent)


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
