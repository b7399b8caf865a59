"""State dicts of optimizers that keep state in 8 bits, from one library's form to another's."""

import warnings

from .bitsandbytes import BitsAndBytes
from .flashoptim import FlashOptim
from .form import Form, Torch
from .fusedopt import FusedOpt
from .torchao import TorchAO

FORMS: dict[str, Form] = {
    "fusedopt": FusedOpt(),
    "torch": Torch(),
    "bitsandbytes": BitsAndBytes(),
    "torchao": TorchAO(),
    "flashoptim": FlashOptim(),
}


def convert_state_dict(state_dict, source, target, *, params=None, state_format=None):
    """``state_dict`` of an optimizer of library ``source`` as ``target`` would have saved it; a new dict.

    Libraries are ``"fusedopt"``, ``"torch"``, ``"bitsandbytes"``, ``"torchao"`` and ``"flashoptim"``; optimizers Adam,
    AdamW, Lion, and but for bitsandbytes and torchao SGD. Step counts, lr, betas, eps and weight_decay are carried
    over, and between fusedopt and torch all options that both know.

    ``state_format``: None keeps 8-bit states in 8 bits and floats as they are; ``"8bit"`` and ``"fp32"`` ask for
    either, ``"8bit_dynamic"`` for fusedopt's form of the codes of bitsandbytes and torchao. ``params`` are the
    parameters in the optimizer's order. They are needed to write for flashoptim, whose form depends on their dtype,
    and where more than 16 bits of a weight are kept (``weight_residual``, ``error_bits``); targets that cannot keep
    such bits drop them with a warning.

    Floats are carried over exactly, and codes are decoded exactly. Encoding rounds to nearest, and what is not zero
    stays so, but for momenta in fusedopt's codes. With ``y`` a value over the largest of its block, the error of ``y``
    is at most

    - fusedopt's codes: ``|y| / 17``, or near zero the smallest code, 2^-15.6 (signed: what is below 0.95 of it becomes
      zero) or 2^-31.6 (positive)
    - dynamic tree codes: 0.007 (positive: 0.0035) in the uppermost decade and a fifth of that in each below, or near
      zero the smallest code, 5.5e-7 (positive: 3.3e-7)
    - flashoptim's codes: ``(1 + |y|)^2 / 500`` of momenta, 1 / 500 of the roots of second moments, 1 / 250 near zero

    Raises ValueError where a record is incomplete or of another form, or holds what the target cannot.
    """
    reader, writer = _form(source, "source"), _form(target, "target")
    if state_format not in (None, *writer.formats):
        raise ValueError(
            f"Invalid state_format for {target}: {state_format!r}; choose from {', '.join(writer.formats)}"
        )
    numbers = [i for group in state_dict["param_groups"] for i in group["params"]]
    owners = dict(zip(numbers, params or [None] * len(numbers), strict=True))
    state = {i: record for i, record in state_dict["state"].items() if i not in owners}
    groups = []
    for group in state_dict["param_groups"]:
        kept = [i for i in group["params"] if i in state_dict["state"]]
        records = {i: _read(reader, state_dict["state"][i], group, owners[i], f"{source}: state[{i}]") for i in kept}
        for record in records.values() if state_format else ():
            record.recode(state_format)
        if not writer.keeps_weights and any(record.weight_bits for record in records.values()):
            warnings.warn(f"{target} keeps 16 bits of 16-bit weights; the others are dropped", stacklevel=2)
        common = reader.read_group(group) | ({"state_format": state_format} if state_format else {})
        groups.append(writer.write_group(common, [*records.values()]))
        for i, record in records.items():
            state[i] = _write(writer, record, groups[-1], owners[i], f"{target}: state[{i}]")
    return {**state_dict, "state": state, "param_groups": groups}


def _form(name, role):
    if name not in FORMS:
        raise ValueError(f"Invalid {role}: {name!r}; choose from {', '.join(FORMS)}")
    return FORMS[name]


def _read(form, record, group, p, label):
    try:
        return form.read(record, group, p)
    except KeyError as error:
        raise ValueError(f"{label} lacks {error}; expected the record of an Adam, AdamW, Lion or SGD") from error
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from error


def _write(form, record, group, p, label):
    try:
        return form.write(record, group, p)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from error
