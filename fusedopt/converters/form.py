"""What stands between two forms of a state dict: plain numbers under torch's names."""

from dataclasses import dataclass, field

import torch

from ..optimizer import DEFAULTS, TORCH_FLAGS

KINDS = {"exp_avg": "signed", "momentum_buffer": "signed", "exp_avg_sq": "positive", "max_exp_avg_sq": "positive"}
HYPERPARAMETERS = ("params", "param_names", "lr", "initial_lr", "betas", "eps", "weight_decay", "momentum", "dampening")


@dataclass
class Record:
    """One parameter's state; ``weight`` is its float32 value where a form keeps ``weight_bits`` of it, more than 16."""

    states: dict[str, torch.Tensor]
    step: float | None = None
    coded: set[str] = field(default_factory=set)  # states that are to be in 8 bits
    weight: torch.Tensor | None = None  # unknown where the caller gave no parameters
    weight_bits: int = 0
    weight_dtype: torch.dtype | None = None  # of the parameter

    def recode(self, state_format):
        """Asks for all states in 8 bits, or in float32."""
        self.coded = set() if state_format == "fp32" else set(self.states)
        self.states = {name: value.float() for name, value in self.states.items()}

    def known_weight(self):
        if self.weight is None:
            raise ValueError("what its 16-bit weight's further bits mean depends on the weight; pass params")
        return self.weight


class Form:
    """A library's form. ``p`` is the parameter, or None where the caller gave none."""

    holds: tuple[str, ...] = tuple(KINDS)  # states that its optimizers know
    formats: tuple[str, ...] = ("8bit", "fp32")
    keeps_weights = False

    def read(self, record, group, p) -> Record:
        raise NotImplementedError

    def write(self, record, group, p) -> dict:
        raise NotImplementedError

    def read_group(self, group):
        """The options that other libraries know."""
        return {key: group[key] for key in HYPERPARAMETERS if key in group}

    def write_group(self, group, records):
        return {key: group[key] for key in HYPERPARAMETERS if key in group}

    def fitting(self, record):
        """The states by name; refuses those that this library's optimizers do not have, and non-finite codes."""
        for name, value in record.states.items():
            if name not in self.holds:
                raise ValueError(f"{name!r} has no place there; it holds {', '.join(self.holds)}")
            if name in record.coded and not value.isfinite().all():
                raise ValueError(f"{name!r} is not finite, so it has no 8-bit codes; convert with state_format='fp32'")
        return record.states.items()


class Torch(Form):
    """torch.optim: a float tensor for every state."""

    formats: tuple[str, ...] = ("fp32",)

    def read(self, record, group, p):
        return Record(*split(record))

    def write(self, record, group, p):
        step = {} if record.step is None else {"step": torch.tensor(record.step, dtype=torch.float32)}
        return step | dict(self.fitting(record))

    def read_group(self, group):
        return dict(group)

    def write_group(self, group, records):
        return {key: value for key, value in group.items() if key not in OURS}


OURS = DEFAULTS.keys() - TORCH_FLAGS


def split(record):
    """The states of a record under torch's names, and its step count; refuses anything else."""
    states = {name: value for name, value in record.items() if name in KINDS and value is not None}
    unknown = [key for key in record if key not in KINDS and key != "step"]
    if unknown or not all(isinstance(value, torch.Tensor) for value in states.values()):
        raise ValueError(
            f"it holds {', '.join(map(repr, record))}; expected 'step' and tensors named {', '.join(KINDS)}"
        )
    return states, None if record.get("step") is None else float(record["step"])
