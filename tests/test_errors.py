"""Construction and bad input: what torch accepts and refuses, errors that name the parameter, steps that fail whole."""

import copy
import inspect

import pytest
import torch
from conftest import STATEFUL, assert_has_torchs_keys, assert_same_bits, parameters, set_gradients, train
from references import Case

import fusedopt
from fusedopt.registry import classes

SHAPES = ((4, 3), (5,), (2, 3))
NAMES = ("body.weight", "body.bias", "head.weight")


def outcome(call):
    """Type and message of the error that ``call`` raises, or None."""
    try:
        call()
    except Exception as error:
        return type(error), str(error)
    return None


# --- construction ---


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


# --- construction that is refused ---

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
    *(
        ("ASGD", {option: True}, ValueError, f"ASGD averages parameters before {option}=True")
        for option in ("cautious", "decoupled_weight_decay")
    ),
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


# --- a step that raises ---


def stale_gradient(p, optimizer):
    p.data = torch.zeros(4, 4, dtype=p.dtype)


def sparse_gradient(p, optimizer):
    p.grad = p.grad.to_sparse()


def gradient_of(dtype):
    def apply(p, optimizer):
        p.grad = None
        p.grad_dtype = dtype
        p.grad = torch.ones_like(p, dtype=dtype)

    return apply


def expanded_parameter(p, optimizer):
    p.data = p.data[:1, :1].expand(p.shape)


def bad_state(value, key="exp_avg"):
    def apply(p, optimizer):
        optimizer.state[p][key if key in optimizer.state[p] else "momentum_buffer"] = value

    return apply


def bad_count(value):
    def apply(p, optimizer):
        optimizer.state[p]["step"] = value

    return apply


def bad_option(**values):
    return lambda p, optimizer: optimizer.param_groups[1].update(values)


# what breaks the last parameter, the type of the error, and what its message says
GRADIENTS = {
    "sparse": (
        sparse_gradient,
        RuntimeError,
        ["does not support sparse gradients", "more than one sparse dimension", "to_dense()"],
    ),
    "stale": (stale_gradient, RuntimeError, ["(2, 3)", "(4, 4)", "zero_grad()"]),
    "integer": (gradient_of(torch.int64), RuntimeError, ["int64", "float32, bfloat16, float16"]),
    "complex": (gradient_of(torch.complex64), RuntimeError, ["complex64", "torch.view_as_real"]),
    "expanded": (expanded_parameter, RuntimeError, ["overlap"]),
}
STATES = {
    "shape": (bad_state(torch.zeros(7)), ValueError, ["(7,)", "(2, 3)", "load a state dict"]),
    "dtype": (bad_state(torch.zeros(2, 3, dtype=torch.int64)), ValueError, ["int64", "load a state dict"]),
    "kind": (bad_state("abc"), ValueError, ["'abc'", "load a state dict"]),
    "device": (bad_state(torch.zeros(2, 3, device="meta")), RuntimeError, ["meta", "cpu", "move it"]),
}
ROWS = {
    "row": (bad_state(torch.zeros(2, 3), "row_var"), ValueError, ["'row_var'", "(2, 3)", "floating", "(2, 1)"]),
    "column": (bad_state(torch.zeros(1, 3).byte(), "col_var"), ValueError, ["'col_var'", "uint8", "a floating"]),
}
BITS = {
    "width": (bad_state(torch.zeros(3, 2).byte(), "exp_avg_sign"), ValueError, ["(3, 2)", "uint8", "shape (3, 1)"]),
    "dtype": (bad_state(torch.zeros(3, 1), "exp_avg_sign"), ValueError, ["float32", "a uint8", "shape (3, 1)"]),
    "row": (bad_state(torch.zeros(2), "exp_avg_sq_row"), ValueError, ["'exp_avg_sq_row'", "(2,)", "(3,)"]),
}
COUNTS = {
    "two": (bad_count(torch.zeros(2)), ValueError, ["state['step']"]),
    "word": (bad_count("three"), (TypeError, ValueError), ["state['step']", "'three'"]),
    "none": (bad_count(None), (TypeError, ValueError), ["state['step']"]),
}
OPTIONS = {
    "lr": (bad_option(lr="fast"), (RuntimeError, TypeError, ValueError), []),
    "decay": (bad_option(weight_decay=None), (RuntimeError, TypeError, ValueError), []),
    "clip": (bad_option(max_grad_norm=2.0), ValueError, ["max_grad_norm", "2.0"]),
    "format": (bad_option(state_format="fp8"), (RuntimeError, ValueError), ["state_format", "'fp8'"]),
}
FIRST = {**GRADIENTS, **OPTIONS}
LATER = {**GRADIENTS, **STATES, **OPTIONS}
del LATER["format"]  # read when state is created
ADAMW, SGD = STATEFUL
PLAIN = Case(fusedopt.SGD, {"lr": 0.1})


def build(case):
    """Three dtypes in two groups, so that several engine runs make one step, and the last of them is broken."""
    params = [p.detach().to(d).requires_grad_() for p, d in zip(parameters(SHAPES), DTYPES, strict=True)]
    named = list(zip(NAMES, params, strict=True))
    return params, case.build([{"params": named[:2]}, {"params": named[2:]}])


DTYPES = (torch.float64, torch.bfloat16, torch.float32)


def snapshot(optimizer, params):
    return copy.deepcopy(([p.detach() for p in params], [optimizer.state.get(p) for p in params]))


def assert_nothing_changed(optimizer, params, before):
    assert_same_bits(params, before[0])
    for record, expected in zip([optimizer.state.get(p) for p in params], before[1], strict=True):
        assert (record is None) == (expected is None)
        tensors = {k: v for k, v in (record or {}).items() if isinstance(v, torch.Tensor) and v.device.type != "meta"}
        assert_same_bits(tensors, {k: v for k, v in (expected or {}).items() if k in tensors})


def break_and_check(case, steps, change, error):
    """Breaks the optimizer after ``steps`` steps and repairs it: the failure left no trace. Returns its message."""
    params, optimizer = build(case)
    train(optimizer, params, steps)
    set_gradients(params, steps)
    spare = copy.deepcopy(optimizer.state_dict())
    change(params[2], optimizer)
    before = snapshot(optimizer, params)
    with pytest.raises(error) as caught:
        optimizer.step()
    assert_nothing_changed(optimizer, params, before)
    repair(optimizer, params, spare)
    twins, plain = build(case)
    train(plain, twins, steps)
    params[2].grad, params[2].grad_dtype = None, torch.float32
    params[2].data = twins[2].data.clone()
    train(optimizer, params, 2, start=steps)
    train(plain, twins, 2, start=steps)
    assert_same_bits(params, twins)
    return str(caught.value)


def repair(optimizer, params, spare):
    broken = optimizer.state.get(params[2])
    if broken is not None and spare["state"].get(2):
        broken.update(spare["state"][2])
    optimizer.param_groups[1].update({k: v for k, v in spare["param_groups"][1].items() if k != "params"})


def rows(table, cases):
    return [pytest.param(case, *row, id=f"{case}-{kind}") for case in cases for kind, row in table.items()]


@pytest.mark.parametrize(("case", "change", "error", "words"), rows(FIRST, [ADAMW, SGD]))
def test_a_first_step_that_raises_changes_nothing(backend, case, change, error, words):
    message = break_and_check(case, 0, change, error)
    assert [word for word in words if word not in message] == []


LATER_ROWS = [*rows(LATER, [ADAMW, SGD]), *rows(COUNTS, [ADAMW]), *rows(GRADIENTS, [PLAIN])]
LATER_ROWS += [*rows({**GRADIENTS, **ROWS}, [Case(fusedopt.Adafactor)]), *rows(BITS, [Case(fusedopt.SMMF)])]


@pytest.mark.parametrize(("case", "change", "error", "words"), LATER_ROWS)
def test_a_later_step_that_raises_changes_nothing(backend, case, change, error, words):
    message = break_and_check(case, 2, change, error)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("name", ["cuda", "no such backend"])
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_a_backend_that_cannot_run_changes_nothing(case, name):
    params, optimizer = build(case)
    set_gradients(params, 0)
    before = snapshot(optimizer, params)
    with pytest.raises((RuntimeError, ValueError), match=name), fusedopt.use_backend(name):
        optimizer.step()
    assert_nothing_changed(optimizer, params, before)


def test_backend_of_the_environment_is_checked(monkeypatch):
    params, optimizer = build(ADAMW)
    set_gradients(params, 0)
    monkeypatch.setenv("FUSEDOPT_BACKEND", "fast")
    with pytest.raises(ValueError, match="Invalid backend: 'fast'; choose from cpu, cuda, triton, eager"):
        optimizer.step()


# --- which parameter ---


BROKEN = [(0, *row) for row in GRADIENTS.values()] + [(2, *row) for row in {**GRADIENTS, **STATES, **COUNTS}.values()]
BROKEN_IDS = [*GRADIENTS, *(f"later {kind}" for kind in (*GRADIENTS, *STATES, *COUNTS))]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("steps", "change", "error", "words"), BROKEN, ids=BROKEN_IDS)
def test_errors_name_the_parameter(backend, steps, change, error, words, named):
    params = parameters(SHAPES)
    named_params = list(zip(NAMES, params, strict=True)) if named else params
    optimizer = fusedopt.AdamW([{"params": named_params[:2]}, {"params": named_params[2:]}])
    train(optimizer, params, steps)
    set_gradients(params, steps)
    change(params[2], optimizer)
    with pytest.raises(error) as caught:
        optimizer.step()
    assert ("params[2] ('head.weight')" if named else "params[2]") in str(caught.value)
    assert "AdamW" in str(caught.value)


def test_complex_parameter_is_refused(backend):
    params = [*parameters(((3,),)), torch.ones(2, dtype=torch.complex64, requires_grad=True)]
    for p in params:
        p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match=r"params\[1\] .*complex64.*torch\.view_as_real"):
        fusedopt.AdamW(params).step()
    assert_same_bits(params[:1], parameters(((3,),)))
