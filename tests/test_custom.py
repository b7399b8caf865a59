"""Rules of users: one decorator makes a class that every engine steps, or that says why one does not."""

import re
from pathlib import Path

import pytest
import torch
from conftest import backend  # noqa: F401

import fusedopt
from fusedopt import backends, registry
from fusedopt.backends import compiler
from fusedopt.math import mean, sign, sqrt


def signum(g, p, m, beta=0.9):
    """The sign of a running average."""
    m = beta * m + (1 - beta) * g
    return sign(m), m


def unit_length(g, p, heat, eps=1e-8):
    return heat * g / (sqrt(mean(g * g)) + eps)


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """What tests register is gone after them: others go through all classes."""
    monkeypatch.setattr(registry, "CUSTOM", {})


@pytest.fixture
def signum_class():
    return fusedopt.register_rule(states={"momentum_buffer": "signed"}, lr=0.1)(signum)


@pytest.fixture
def unit_length_class():
    return fusedopt.register_rule(scalars=lambda group, t: {"heat": t**-0.5})(unit_length)


def trained(cls, steps=3, **options):
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(6, 5, generator=generator, dtype=torch.float64).requires_grad_()
    optimizer = cls([p], **options)
    for _ in range(steps):
        p.grad = torch.randn(6, 5, generator=generator, dtype=torch.float64)
        optimizer.step()
    return p.detach()


def test_values(backend, signum_class, unit_length_class):  # noqa: F811
    generator = torch.Generator().manual_seed(0)
    p, m, q = torch.randn(6, 5, generator=generator, dtype=torch.float64), 0, None
    q = p.clone()
    for t in range(1, 4):
        g = torch.randn(6, 5, generator=generator, dtype=torch.float64)
        m = 0.8 * m + 0.2 * g
        p = p - (0.1 * m.sign() + 0.1 * 0.3 * p)
        q = q - 1e-3 * t**-0.5 * g / (g.square().mean().sqrt() + 1e-8)
    torch.testing.assert_close(trained(signum_class, beta=0.8, weight_decay=0.3), p, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(trained(unit_length_class), q, rtol=1e-13, atol=1e-13)


def test_it_is_a_class_like_others(backend, signum_class):  # noqa: F811
    p = torch.ones(300, requires_grad=True)
    optimizer = fusedopt.create_optimizer("cautious_signum_8bit", [p], lr=0.5)
    assert type(optimizer) is signum_class
    assert repr(optimizer).startswith("signum (")
    assert optimizer.defaults["beta"] == 0.9
    assert "signum" in fusedopt.list_optimizers("sig*")
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert torch.equal(p.detach(), torch.full_like(p, 0.5))
    assert optimizer.state[p]["momentum_buffer"].dtype == torch.int8


def test_the_example_of_the_docs_runs(monkeypatch):
    monkeypatch.setenv("FUSEDOPT_BACKEND", "eager")
    page = Path(__file__).parents[1] / "docs" / "own_rules.md"
    names = {"__name__": "example"}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(code, names)
    names["model"](torch.ones(8)).sum().backward()
    names["optimizer"].step()
    names["same"].step()
    assert type(names["same"]) is names["lagging_adam"]


def test_a_rule_without_states_needs_no_parentheses():
    @fusedopt.register_rule
    def halved(g, p, factor=0.5):
        return factor * g

    with fusedopt.use_backend("eager"):
        torch.testing.assert_close(trained(halved, lr=0.2), trained(fusedopt.SGD, lr=0.1), rtol=1e-14, atol=1e-14)


def test_a_rule_may_be_registered_again(signum_class):
    again = fusedopt.register_rule(states={"momentum_buffer": "signed"})(signum)
    assert type(fusedopt.create_optimizer("signum", [torch.ones(2)])) is again is not signum_class


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("adam", "a rule"),
        ("adamw", "an optimizer"),
        ("AdamW", "an optimizer"),
        ("LBFGS", "an optimizer"),
        ("lazy_adam", "an optimizer"),
        ("adamw_nnmf", "an optimizer"),
        ("cautious", "a building block"),
        ("8bit", "a building block"),
        ("Kahan", "a building block"),
    ],
)
def test_names_that_mean_something_already_are_refused(name, what):
    def update(g, p):
        return g

    update.__name__ = name
    with pytest.raises(ValueError, match=f"the name {name!r} is that of {what} of fusedopt; choose another"):
        fusedopt.register_rule(update)
    assert not registry.CUSTOM


@pytest.mark.parametrize("states", [["m"], "m", 3])
def test_states_that_are_no_mapping_are_refused(states):
    message = f"states is {states!r}; it must map names to kinds, such as {{'exp_avg': 'signed'}}"
    with pytest.raises(TypeError, match=re.escape(message)):
        fusedopt.register_rule(states=states)


RETURNED = [  # by a rule of two states
    (lambda g, m, v: g, "has 2 state(s), but returns 1 value(s); return the direction, followed by every new state"),
    (lambda g, m, v: (g, m), "has 2 state(s), but returns 2 value(s)"),
    (lambda g, m, v: (g, m, v, m), "has 2 state(s), but returns 4 value(s)"),
    (lambda g, m, v: (), "has 2 state(s), but returns 0 value(s)"),
    (lambda g, m, v: [g, m, v], "update returns a list; return direction and new states as a tuple"),
    (lambda g, m, v: None, "update returns a NoneType; return direction and new states as a tuple"),
]


@pytest.mark.parametrize(("formula", "message"), RETURNED)
def test_what_a_rule_returns_is_counted(formula, message):
    def update(g, p, m, v):
        return formula(g, m, v)

    with pytest.raises(TypeError, match=re.escape(message)):
        fusedopt.register_rule(states={"m": "signed", "v": "positive"})(update)


OUTSIDE = [
    (lambda g: g**2, "** is none of its words; write g * g for a square, and sqrt(x) for a root"),
    (lambda g: 2**g, "** is none of its words"),
    (lambda g: g**0.5, "** is none of its words"),
    (lambda g: abs(g), "Python's abs is none of its words; import that of fusedopt.math"),
    (lambda g: g @ g, "@ is none of its words; sums are mean, row_mean and col_mean times a size"),
    (lambda g: g // 2, "a rule cannot round; use / and comparisons"),
    (lambda g: 5 % g, "a rule cannot round"),
    (lambda g: (g > 0) & (g < 1), "conditions cannot be joined; nest select(condition, a, b)"),
    (lambda g: ~(g > 0), "conditions cannot be joined"),
    (lambda g: g.sqrt(), "(it is + - * /, comparisons and fusedopt.math)"),
    (lambda g: torch.sqrt(g), "(it is + - * /, comparisons and fusedopt.math)"),
]


@pytest.mark.parametrize(("formula", "message"), OUTSIDE)
def test_words_outside_the_language_are_refused_with_a_remedy(formula, message):
    def update(g, p):
        return formula(g)

    with pytest.raises(TypeError, match=re.escape(message)):
        fusedopt.register_rule(update)


def without_default(g, p, factor):
    return factor * g


def named_as_an_option(g, p, ema=0.5):
    return ema * g


def branching(g, p):
    return g if g > 0 else -g


@pytest.mark.parametrize(
    ("update", "error", "message"),
    [
        (
            without_default,
            ValueError,
            "scalar 'factor'; give it a default, or use scalars; or name it in states",
        ),
        (named_as_an_option, ValueError, "its scalar 'ema' has the name of an option"),
        (branching, TypeError, "cannot branch on a value"),
    ],
)
def test_what_is_no_rule_is_refused(update, error, message):
    with pytest.raises(error, match=message):
        fusedopt.register_rule()(update)
    assert update.__name__ not in fusedopt.list_optimizers()


@pytest.fixture
def uncompiled(monkeypatch, tmp_path):
    """A rule that no library has, in an empty cache."""
    if reason := backends.unavailable("cpu"):
        pytest.skip(reason)
    monkeypatch.setenv("FUSEDOPT_CACHE_DIR", str(tmp_path))

    def fresh(g, p):
        return g * 2

    compiler._compiler.cache_clear()
    backends._warn_of_eager.cache_clear()
    yield fusedopt.register_rule(lr=0.25)(fresh)
    compiler._compiler.cache_clear()


REASONS = [
    ({"FUSEDOPT_COMPILE": "0"}, "FUSEDOPT_COMPILE=0 forbids compiling rules"),
    ({"PATH": "", "CXX": ""}, "no C\\+\\+ compiler was found"),
    ({"CXX": "false"}, "false .* failed"),
]


@pytest.mark.parametrize(("environment", "reason"), REASONS, ids=str)
def test_without_a_compiler_it_says_why(uncompiled, environment, reason, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    p = torch.ones(3)
    p.grad = torch.ones(3)
    optimizer = uncompiled([p])
    with fusedopt.use_backend("cpu"), pytest.raises(RuntimeError, match=reason):
        optimizer.step()
    with pytest.warns(UserWarning, match=f"so the eager engine steps it, many times slower: {reason}"):
        optimizer.step()
    assert torch.equal(p, torch.full((3,), 0.5))


def test_a_compiled_rule_is_kept(uncompiled, tmp_path):
    p = torch.ones(3)
    p.grad = torch.ones(3)
    with fusedopt.use_backend("cpu"):
        uncompiled([p]).step()
    assert torch.equal(p, torch.full((3,), 0.5))
    assert [x.suffix for x in tmp_path.iterdir()] == [".so"]
