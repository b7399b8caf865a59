"""torchao: tensors that dequantize themselves, of 8 bits, 4 bits or float8; Adam's ``step`` and ``lr`` are tensors."""

import torch

from ..codecs import dynamic_tree
from . import dynamic
from .form import KINDS, Form, Record, split

SMALLEST = 4096  # elements that it keeps in 8 bits, if they fill blocks of 256


class TorchAO(Form):
    """Its Adam and AdamW in 8 bits; 4 bits and float8 are read too. Needs torchao, for the class of its tensors."""

    holds = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def read(self, record, group, p):
        coded = {name for name, value in record.items() if hasattr(value, "codes")}
        plain = {name: value.dequantize() if name in coded else value for name, value in record.items()}
        return Record(*split(plain), coded)

    def write(self, record, group, p):
        theirs = {"step": torch.tensor(float(record.step or 0))}
        for name, value in self.fitting(record):
            fits = value.numel() >= SMALLEST and value.numel() % 256 == 0
            theirs[name] = _state(value, KINDS[name] == "signed") if name in record.coded and fits else value
        return theirs

    def read_group(self, group):
        return {**super().read_group(group), "lr": float(group["lr"]), "amsgrad": group.get("amsgrad", False)}

    def write_group(self, group, records):
        lr = torch.as_tensor(group["lr"], dtype=torch.float32)
        return {**super().write_group(group, records), "lr": lr, "amsgrad": group.get("amsgrad", False)}


def tensor_class():
    """torchao's tensor; its module tells torch.load that files may hold it."""
    try:
        from torchao.optim.subclass_8bit import OptimState8bit  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("torchao's state dicts are made of its own tensors; install the package torchao") from error
    return OptimState8bit


def _state(x, signed):
    values = dynamic_tree(signed).to(x.device)
    codes, scales = dynamic.encode(x, values)
    return tensor_class()(codes, scales, values, signed, dtype=x.dtype)
