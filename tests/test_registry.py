import re

import pytest
import torch
from conftest import assert_same_bits, parameters, train

import fusedopt
from fusedopt import registry

EXPORTS = [(name, getattr(fusedopt, name)) for name in fusedopt.__all__]
NAMES = [name for name, x in EXPORTS if isinstance(x, type) and issubclass(x, torch.optim.Optimizer)]


def test_every_exported_class_is_listed_under_its_name():
    assert {"SGD", "AdamW", "SMMF", "LBFGS"} <= set(NAMES)
    assert fusedopt.list_optimizers() == sorted({*map(str.lower, NAMES), *registry.CUSTOM})
    assert fusedopt.list_optimizers("adam*") == [x for x in fusedopt.list_optimizers() if x.startswith("adam")]
    assert {"adam", "adamw", "adamax"} <= set(fusedopt.list_optimizers("Adam*"))
    assert fusedopt.list_optimizers("nothing*") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_its_class(name):
    assert type(fusedopt.create_optimizer(name.lower(), parameters())) is getattr(fusedopt, name)
    assert type(fusedopt.create_optimizer(name, torch.nn.Linear(2, 3))) is getattr(fusedopt, name)


COMPOSED = [
    ("adamw", fusedopt.AdamW, {}),
    ("cautious_adamw", fusedopt.AdamW, {"cautious": True}),
    ("adamw_nnmf", fusedopt.AdamW, {"state_format": "nnmf"}),
    ("Cautious_AdamW_bf16", fusedopt.AdamW, {"cautious": True, "state_format": "bf16"}),
    ("decoupled_cautious_adam_fp32", fusedopt.Adam,
     {"decoupled_weight_decay": True, "cautious": True, "state_format": "fp32"}),
    ("decoupled_ranger", fusedopt.Ranger, {}),
    *[(f"lion_{word}", fusedopt.Lion, options) for word, options in registry.SUFFIXES.items()],
]  # fmt: skip


@pytest.mark.parametrize(("name", "cls", "options"), COMPOSED)
def test_building_blocks_in_a_name_are_options_of_the_class(name, cls, options):
    more = {"lr": 0.01, "weight_decay": 0.1}
    named, plain = parameters(dtype=torch.bfloat16), parameters(dtype=torch.bfloat16)
    with fusedopt.use_backend("eager"):
        train(fusedopt.create_optimizer(name, named, **more), named, steps=3)
        train(cls(plain, **more, **options), plain, steps=3)
    assert_same_bits(named, plain)


DECAYS = [
    ("adamw", {}, [1e-2, 0.0]),
    ("adamw", {"weight_decay": 0.3}, [0.3, 0.0]),
    ("adamw", {"weight_decay": 0.0}, [0.0]),
    ("adam", {}, [0]),
    ("amos", {}, [0.0]),
]


@pytest.mark.parametrize(("name", "options", "decays"), DECAYS)
def test_a_model_is_split_by_the_decay_of_the_call_or_of_the_class(name, options, decays):
    optimizer = fusedopt.create_optimizer(name, torch.nn.Linear(2, 3), **options)
    assert [group["weight_decay"] for group in optimizer.param_groups] == decays
    assert sorted(name for group in optimizer.param_groups for name in group["param_names"]) == ["bias", "weight"]


def test_a_group_cannot_add_a_second_decay_to_one_that_is_learnt():
    with pytest.raises(
        ValueError, match=re.escape("Amos learns its decay, and weight_decay=0.1 would be a second one")
    ):
        fusedopt.create_optimizer("amos", fusedopt.param_groups(torch.nn.Linear(2, 3), weight_decay=0.1))


FAR = "fusedopt.list_optimizers() has the names. Before a class may stand cautious, decoupled, lookahead, centralized"
REFUSED = [
    ("adamww", {}, "unknown optimizer 'adamww'; did you mean 'adamw'"),
    ("adam_atan2", {}, "did you mean 'adamatan2'"),
    ("cautious_adamww_nnmf", {}, "did you mean 'cautious_adamw_nnmf'"),
    ("adamw_cautious", {}, "did you mean 'cautious_adamw'"),
    ("zzzz", {}, f"unknown optimizer 'zzzz'; {FAR}"),
    ("cautious_zzzz_nnmf", {}, f"unknown optimizer 'cautious_zzzz_nnmf'; {FAR}"),
    ("adamww", {}, "did you mean 'adamw', 'adam', 'amadamw'? Before a class may stand cautious"),
    ("zzzz", {}, "Before a class may stand cautious, decoupled, lookahead, centralized, lazy, after it fp32, bf16"),
    ("", {}, "unknown optimizer ''"),
    ("adamw_nnmf_bf16", {}, "'adamw_nnmf_bf16' sets state_format twice, to 'nnmf' and to 'bf16'"),
    ("adamw_nnmf", {"state_format": "fp32"}, "state_format is set by the name 'adamw_nnmf' and by state_format='fp32'"),
    ("cautious_lbfgs", {}, "sets cautious, but LBFGS is torch's own class and takes no building block"),
    ("adam_nnmf", {"amsgrad": True}, "state_format='nnmf' does not fit the rule 'amsgrad'"),
    ("decoupled_adamw", {"decoupled_weight_decay": False}, "decoupled_weight_decay is set by the name"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_unknown_names_and_contradictions_are_refused(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fusedopt.create_optimizer(name, parameters(), **options)
