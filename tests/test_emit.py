"""The committed C++ headers are what the Python rules say, and text outside the rule language is refused."""

from pathlib import Path

import pytest

from fusedopt import emit
from fusedopt.math import maximum, sqrt
from fusedopt.rule import Rule

HEADERS = Path(__file__).parent.parent / "csrc" / "rules"


def test_headers_are_up_to_date():
    committed = {path.name: path.read_text() for path in HEADERS.glob("*.h")}
    assert committed == emit.headers(), "run `make rules`"


def test_text():
    def sample(g, p, m, rate):
        """A docstring is no statement."""
        m = maximum(m, (1 - rate) * g)
        root = sqrt(m / 2)
        return -root * (p + 0.5), m

    text = emit.rule_text(Rule(sample, states=("exp_avg",)))
    for line in (
        "FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k) {",
        "F m = s[0];",
        "const F rate = k[0];",
        "m = maximum(m, (F(1) - rate) * g);",
        "F root = sqrt(m / F(2));",
        "s[0] = m;",
        "return -root * (p + F(0.5));",
    ):
        assert line in text


def power(g, p):
    return (g**2,)


def call(g, p):
    return (round(g),)


def branch(g, p):
    if g > p:
        g = p
    return (g,)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [(power, r"power: `g \*\* 2`"), (call, r"call: `round\(g\)`"), (branch, "branch: `if g > p")],
)
def test_outside_the_language(function, complaint):
    with pytest.raises(SyntaxError, match=complaint):
        emit.rule_text(Rule(function))


def test_first_parameters_are_g_and_p():
    def swapped(p, g):
        return (g,)

    with pytest.raises(TypeError, match="first two parameters"):
        Rule(swapped)


def test_more_states_than_engines_carry():
    def greedy(g, p, a, b, c, d, e, f, h):
        return g, a, b, c, d, e, f, h

    with pytest.raises(ValueError, match="7 states; engines carry at most 6"):
        Rule(greedy, states=tuple("abcdefh"))
