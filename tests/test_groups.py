import re

import pytest
import torch
from torch import nn

import fusedopt


class Tied(nn.Module):
    """An embedding that is the output layer too, and every kind of parameter that is left undecayed."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.norm = nn.LayerNorm((3, 4))
        self.conv = nn.Conv1d(4, 4, 3)
        self.batch_norm = nn.BatchNorm1d(4)
        self.mix = nn.Bilinear(4, 4, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(()))
        self.head = nn.Linear(4, 10)
        self.head.weight = self.embed.weight


DECAYED = ["conv.weight", "embed.weight", "mix.weight"]
UNDECAYED = ["batch_norm.bias", "batch_norm.weight", "conv.bias", "head.bias", "mix.bias", "norm.bias", "norm.weight"]
NO_DECAY = [
    ((), []),
    (nn.Embedding, ["embed.weight"]),
    ("conv.*", ["conv.weight"]),
    ("head.weight", ["embed.weight"]),  # under either of its names
    ((nn.Bilinear, "*embed*"), ["embed.weight", "mix.weight"]),
    ([nn.Bilinear], ["mix.weight"]),
    ({"conv.weight", "dist_token"}, ["conv.weight"]),  # a set, as timm's models have, may name what is not there
    (frozenset({nn.Bilinear, "conv.*"}), ["conv.weight", "mix.weight"]),
    ({"conv.*": None}.keys(), ["conv.weight"]),
    ((x for x in (nn.Bilinear, "conv.*")), ["conv.weight", "mix.weight"]),
    (nn.Module, DECAYED),
]


@pytest.mark.parametrize(("no_decay", "spared"), NO_DECAY)
def test_norms_biases_vectors_and_what_is_named_are_undecayed(no_decay, spared):
    groups = fusedopt.param_groups(Tied(), weight_decay=0.3, no_decay=no_decay)
    names = {group["weight_decay"]: sorted(name for name, _ in group["params"]) for group in groups}
    expected = {0.3: sorted({*DECAYED} - {*spared}), 0.0: sorted([*UNDECAYED, "scale", *spared])}
    assert names == {decay: list for decay, list in expected.items() if list}


def test_groups_keep_names_and_hold_the_models_own_tensors():
    model = Tied()
    optimizer = fusedopt.AdamW(fusedopt.param_groups(model, weight_decay=0.3))
    own = dict(model.named_parameters())
    for group in optimizer.param_groups:
        for name, p in zip(group["param_names"], group["params"], strict=True):
            assert p is own[name]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"no_decay: '\*\.gain' matches no parameter; names are such as 'scale'"):
        fusedopt.param_groups(Tied(), no_decay="*.gain")


@pytest.mark.parametrize(("no_decay", "named"), [(3, "3"), (None, "None"), (["*.bias", 0.5], "0.5")])
def test_what_is_neither_class_nor_pattern_is_refused(no_decay, named):
    message = f"Invalid no_decay: {named}; it must be a module class, a pattern of parameter names, or several"
    with pytest.raises(TypeError, match=re.escape(message)):
        fusedopt.param_groups(Tied(), no_decay=no_decay)
