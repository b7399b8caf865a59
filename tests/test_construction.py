"""Construction: the arguments that torch accepts, in its order, and what is refused, in its words."""

import inspect

import pytest
import torch
from conftest import STATEFUL, assert_has_torchs_keys, assert_same_bits, parameters, train

import fusedopt
from fusedopt.registry import classes


def positional(cls):
    found = inspect.signature(cls).parameters.values()
    return [(p.name, p.default) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]


OF_TORCH = ["Adam", "AdamW", "SGD", "Adafactor", "RMSprop", "Adagrad", "Adadelta", "Adamax"]
OF_TORCH += ["NAdam", "RAdam", "Rprop", "ASGD"]


@pytest.mark.parametrize("name", OF_TORCH)
def test_signature_and_defaults_are_torchs(name):
    theirs, ours = getattr(torch.optim, name), getattr(fusedopt, name)
    assert positional(ours) == positional(theirs)
    assert_has_torchs_keys(ours(parameters()).param_groups[0], theirs(parameters()).param_groups[0])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Adam", (0.1, (0.8, 0.99), 1e-6, 0.3, True)),
        ("AdamW", (0.1, [0.8, 0.99], 1e-6, 0.3, True)),
        ("SGD", (0.1, 0.9, 0.2, 0.3, False)),
        ("Adafactor", (0.1, -0.5, (1e-6, 1e-2), 2.0, 0.1)),
        ("RMSprop", (0.1, 0.8, 1e-6, 0.3, 0.9, True, False, True, True)),
        ("Adagrad", (0.1, 0.2, 0.3, 0.4, 1e-6, True)),
        ("Adadelta", (0.1, 0.8, 1e-3, 0.3, True)),
        ("Adamax", (0.1, (0.8, 0.99), 1e-6, 0.3, True)),
        ("NAdam", (0.1, (0.8, 0.99), 1e-6, 0.3, 0.1, True)),
        ("RAdam", (0.1, (0.8, 0.99), 1e-6, 0.3, True)),
        ("Rprop", (0.1, (0.3, 1.5), (1e-3, 1.0))),
        ("ASGD", (0.1, 1e-3, 0.5, 10.0, 0.3, True, True)),
        ("Adam", (torch.tensor([0.1]), (torch.tensor([0.8]), torch.tensor(0.99)))),
    ],
)
def test_positional_call(name, arguments):
    ours, theirs = (getattr(module, name)(parameters(), *arguments) for module in (fusedopt, torch.optim))
    assert_has_torchs_keys(ours.param_groups[0], theirs.param_groups[0])


NET = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
PARAMS = {
    "generator": lambda: NET.parameters(),
    "list": lambda: list(NET.parameters()),
    "dict view": lambda: NET.state_dict(keep_vars=True).values(),
    "named": lambda: NET.named_parameters(),
    "groups": lambda: [{"params": NET[0].parameters(), "lr": 0.5}, {"params": NET[1].weight, "weight_decay": 0.7}],
    "groups with own keys": lambda: [{"params": NET.parameters(), "tag": "x", "mask": None}],
    "named groups": lambda: [{"params": layer.named_parameters(), "lr": 0.5} for layer in NET],
}


@pytest.mark.parametrize("form", PARAMS)
@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_forms_of_params(name, form):
    ours, theirs = (getattr(module, name)(PARAMS[form](), lr=0.2).param_groups for module in (fusedopt, torch.optim))
    for group, expected in zip(ours, theirs, strict=True):
        assert [id(p) for p in group["params"]] == [id(p) for p in expected["params"]]
        assert_has_torchs_keys(group, expected)


@pytest.mark.parametrize("flags", [{"foreach": True}, {"foreach": False}, {"fused": True}, {"fused": False}])
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_implementation_flags_change_nothing(backend, case, flags):
    params, expected = parameters(), parameters()
    train(case.build(params, **flags), params, 3)
    train(case.build(expected), expected, 3)
    assert_same_bits(params, expected)


def test_is_a_torch_optimizer():
    optimizer = fusedopt.AdamW(parameters())
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert list(inspect.signature(optimizer.step).parameters) == ["closure"]  # a grad_scaler argument would change AMP
    assert repr(optimizer).startswith("AdamW (\nParameter Group 0\n    amsgrad: False\n    betas: (0.9, 0.999)\n")


# --- what is refused ---


def outcome(call):
    """Type and message of the error that ``call`` raises, or None."""
    try:
        call()
    except Exception as error:
        return type(error), str(error)
    return None


HALF = torch.tensor(0.5)
REFUSED_BY_TORCH = [
    *((cls, {"lr": lr}) for cls in ("Adam", "AdamW", "SGD") for lr in (-1, -1e-9, torch.tensor(-1.0), -torch.inf)),
    *((cls, {"lr": torch.ones(2)}) for cls in ("Adam", "AdamW", "SGD")),
    *((cls, {"weight_decay": decay}) for cls in ("Adam", "AdamW", "SGD") for decay in (-1, -0.5)),
    *(("Adam", {key: torch.nan}) for key in ("lr", "eps", "weight_decay")),
    *(("AdamW", {"eps": eps}) for eps in (-1, -1e-8)),
    *(("Adam", {"betas": (beta, 0.999)}) for beta in (-0.1, 1.0, 1.5, torch.nan, torch.inf)),
    *(("AdamW", {"betas": (0.9, beta)}) for beta in (-0.1, 1.0, 1.5, torch.nan)),
    *(("Adam", {"betas": betas}) for betas in ((0.5, HALF), (HALF, 0.5))),
    ("Adam", {"betas": (HALF, HALF), "foreach": True}),
    ("AdamW", {"lr": HALF, "foreach": True}),
    *((cls, {"fused": True, "foreach": True}) for cls in ("Adam", "AdamW", "SGD")),
    *((cls, {"fused": True, "differentiable": True}) for cls in ("Adam", "AdamW", "SGD")),
    *(("SGD", {"momentum": momentum}) for momentum in (-1, -0.1)),
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    *((name, {"lr": lr}) for name in OF_TORCH[4:] for lr in (-1, torch.ones(2), torch.nan)),
    *((name, {"weight_decay": -1}) for name in OF_TORCH[4:] if name != "Rprop"),
    *((name, {"eps": eps}) for name in OF_TORCH[4:10] for eps in (-1, torch.nan)),
    *((name, {"betas": betas}) for name in ("Adamax", "NAdam", "RAdam") for betas in ((1.0, 0.9), (0.9, -0.1))),
    *(("RMSprop", {key: -1}) for key in ("alpha", "momentum")),
    *(("Adagrad", {key: -1}) for key in ("lr_decay", "initial_accumulator_value")),
    ("Adagrad", {"fused": True, "foreach": True}),
    *(("Adadelta", {"rho": rho}) for rho in (-0.1, 1.1, torch.nan)),
    ("NAdam", {"momentum_decay": -1}),
    *(("Rprop", {"etas": etas}) for etas in ((0.0, 1.2), (0.5, 1.0), (1.1, 1.2))),
    *(("Adafactor", {"lr": lr}) for lr in (-1, torch.tensor(-1.0), torch.ones(2), torch.nan)),
    *(("Adafactor", {"eps": eps}) for eps in ((-1.0, 1e-3), (None, -1.0), (torch.nan, 1e-3))),
    *(("Adafactor", {"d": d}) for d in (0.5, -1, torch.nan)),
    *(("Adafactor", {key: value}) for key, value in (("beta2_decay", 0.1), ("weight_decay", -1))),
]


@pytest.mark.parametrize(("name", "options"), REFUSED_BY_TORCH, ids=str)
def test_hyperparameters_are_refused_in_torchs_words(name, options):
    expected = outcome(lambda: getattr(torch.optim, name)(parameters(), **options))
    assert expected is not None
    assert outcome(lambda: getattr(fusedopt, name)(parameters(), **options)) == expected


REFUSED_HERE = [
    ("SGD", {"lr": torch.nan}, ValueError, "Invalid learning rate: nan"),
    ("SGD", {"momentum": torch.nan}, ValueError, "Invalid momentum value: nan"),
    ("SGD", {"weight_decay": torch.nan}, ValueError, "Invalid weight_decay value: nan"),
    ("Lion", {"lr": -1}, ValueError, "Invalid learning rate: -1"),
    ("Lion", {"betas": (0.9, 1.0)}, ValueError, "Invalid beta parameter at index 1: 1.0"),
    ("Lion", {"weight_decay": -1}, ValueError, "Invalid weight_decay value: -1"),
    ("Adam", {"betas": (torch.ones(2), HALF)}, ValueError, r"Tensor betas\[0\] must be 1-element"),
    ("AdamW", {"differentiable": True}, RuntimeError, r"AdamW .*differentiable=True.* torch\.optim"),
    ("AdamW", {"decoupled_weight_decay": False}, (TypeError, ValueError), "decoupled_weight_decay"),
    ("AdamW", {"max_grad_norm": 0}, ValueError, "Invalid max_grad_norm: 0"),
    ("AdamW", {"max_grad_norm": -1.0}, ValueError, r"Invalid max_grad_norm: -1\.0"),
    ("AdamW", {"max_grad_norm": torch.nan}, ValueError, "Invalid max_grad_norm: nan"),
    ("AdamW", {"state_format": "fp8"}, ValueError, "Invalid state_format: 'fp8'; choose from param, fp32, bf16"),
    *(
        (
            name,
            {"state_format": "nnmf", **options},
            ValueError,
            f"{name}: state_format='nnmf' does not fit .* '{state}'",
        )
        for name, options, state in (
            ("RMSprop", {"centered": True}, "grad_avg"),
            ("Rprop", {}, "prev"),
            ("ASGD", {}, "ax"),
            ("SAdam", {}, "max_exp_avg_sq"),
            ("DiffGrad", {}, "previous_grad"),
            ("NovoGrad", {}, "exp_avg_sq"),
            ("AdamNorm", {}, "exp_grad_norm"),
            ("AMAdamW", {}, "beta_product"),
        )
    ),
    ("SAdam", {"smooth": 0}, ValueError, "Invalid smooth: 0; it must be positive"),
    ("SAdam", {"betas": (0.9, 1.0)}, ValueError, "Invalid beta parameter at index 1: 1.0"),
    ("AdamAtan2", {"a": -1}, ValueError, "Invalid a: -1"),
    *((name, {"eps": -1}, ValueError, "Invalid epsilon value: -1") for name in ("DiffGrad", "AdaMomentum")),
    *(
        (name, {"eps": -1}, ValueError, "Invalid epsilon value: -1")
        for name in ("LAMB", "NovoGrad", "NSGDA", "RAdamNorm")
    ),
    *(
        (name, {"betas": (0.9, 1.0)}, ValueError, "at index 1: 1.0")
        for name in ("LAMB", "NovoGrad", "AdaLo", "AMAdamW")
    ),
    ("LAMB", {"adapt": "never"}, ValueError, "Invalid adapt: 'never'; choose from if_wd, always"),
    *(
        ("LAMB", {"phi_bounds": bounds}, ValueError, "Invalid phi_bounds: .* the smaller first, or None")
        for bounds in ((1.0,), (-1.0, 1.0), (2.0, 1.0), (torch.nan, 1.0))
    ),
    *((name, {"momentum": 1.0}, ValueError, "Invalid momentum: 1.0; it must be in") for name in ("NSGDA", "AMSGD")),
    *((name, {"memory": -1}, ValueError, "Invalid memory: -1") for name in ("AMSGD", "AMAdamW")),
    ("AMSGD", {"state_format": "nnmf"}, ValueError, "AMSGD with state_format='nnmf' needs per_tensor=True"),
    ("AdamNorm", {"gamma": 1.0}, ValueError, "Invalid gamma: 1.0; it must be in"),
    ("AdaLo", {"kappa": 0}, ValueError, "Invalid kappa: 0; it must be positive"),
    ("AdaLo", {"mode": "bold"}, ValueError, "Invalid mode: 'bold'; choose from adversarial, compliant"),
    *((x.__name__, {"warmup": 1}, TypeError, rf"{x.__name__}.* argument 'warmup'") for x in classes().values()),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), REFUSED_HERE)
def test_options_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(fusedopt, name)(parameters(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"state_format": "fp8"}, "Invalid state_format: 'fp8'"), ({"max_grad_norm": 0}, "Invalid max_grad_norm: 0")],
)
def test_options_of_a_group_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fusedopt.AdamW([{"params": parameters(), **options}])
    optimizer = fusedopt.AdamW(parameters())
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": parameters(), **options})
    assert len(optimizer.param_groups) == 1


def shared(module):
    params = parameters()
    return module.AdamW([{"params": params}, {"params": params[:1]}])


def added_twice(module):
    optimizer = module.AdamW(parameters())
    optimizer.add_param_group({"params": optimizer.param_groups[0]["params"][:1]})


BAD_PARAMS = {
    "tensor": lambda module: module.AdamW(torch.ones(3, requires_grad=True)),
    "nothing": lambda module: module.AdamW([]),
    "set": lambda module: module.AdamW([{"params": set(parameters())}]),
    "numbers": lambda module: module.AdamW([1.0]),
    "not a leaf": lambda module: module.AdamW([parameters()[0] * 2]),
    "half named": lambda module: module.AdamW([("a", parameters()[0]), parameters()[1]]),
    "one group named": lambda module: module.AdamW([{"params": [("a", parameters()[0])]}, {"params": parameters()}]),
    "in two groups": shared,
    "added twice": added_twice,
}


@pytest.mark.parametrize("kind", BAD_PARAMS)
def test_params_are_refused_in_torchs_words(kind):
    expected = outcome(lambda: BAD_PARAMS[kind](torch.optim))
    assert expected is not None
    assert outcome(lambda: BAD_PARAMS[kind](fusedopt)) == expected


def test_duplicates_in_a_group_warn():
    (p,) = parameters(((3,),))
    with pytest.warns(UserWarning, match="parameter group with duplicate parameters"):
        fusedopt.AdamW([p, p])
