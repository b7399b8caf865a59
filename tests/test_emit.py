"""The committed C++ headers are what the Python rules say, and text outside the rule language is refused."""

from pathlib import Path

import pytest
import torch

from fusedopt import emit
from fusedopt.math import maximum, row_mean, select, sqrt
from fusedopt.rule import Rule

HEADERS = Path(__file__).parent.parent / "csrc" / "rules"


def test_headers_are_up_to_date():
    committed = {path.name: path.read_text() for path in HEADERS.glob("*.h")}
    assert committed == emit.headers(), "run `make rules`"


def assert_lines(rule, expected):
    lines = [line.strip() for line in emit.rule_text(rule).splitlines()]
    assert [line for line in expected if line not in lines] == []


def test_text_of_a_rule_of_elements():
    def sample(g, p, m, rate):
        """What is used twice is computed once; the direction is the return value."""
        m = maximum(m, (1 - rate) * g)
        root = sqrt(m / 2)
        return -root * (p + 0.5), m

    assert_lines(
        Rule(sample, {"exp_avg": "signed"}),
        [
            "static constexpr int states = 1, scalars = 1;",
            "FUSEDOPT_INLINE static F update(F g, F p, F* s, const F* k) {",
            "const F m = s[0];",
            "const F rate = k[0];",
            "const F new_m = maximum(m, (F(1) - rate) * g);",
            "s[0] = new_m;",
            "return -sqrt(new_m / F(2)) * (p + F(0.5));",
        ],
    )


def test_text_of_a_rule_with_sums():
    """A sweep that adds up, a loop over rows that keeps the new state, and the sweep that writes."""

    def sample(g, p, r, c, rate):
        r = r + row_mean(g * g + rate)
        return g / sqrt(r * c), r, c

    assert_lines(
        Rule(sample, {"rows": "row", "columns": "col"}),
        [
            "static constexpr int slot_count = 4;",  # r, c, the mean, the new r
            "sum[0] = g * g + rate;",
            "out[0] = r + row_mean2;",
            "return g / sqrt(row3 * c);",
            "using List = Kernels<kernel0, kernel1, kernel2>;",
        ],
    )


def test_helpers_come_apart():
    def smooth(x, rate):
        return select(x >= 0, x, rate * x)

    def sample(g, p, rate):
        return smooth(smooth(g, rate), 0.25)

    assert_lines(
        Rule(sample), ["const F x1 = select(g >= F(0), g, rate * g);", "return select(x1 >= F(0), x1, F(0.25) * x1);"]
    )


def test_conditions_are_no_numbers():
    def sample(g, p):
        small = g < 1
        return select(small, g, p) / select(small, 1, g)

    assert_lines(Rule(sample), ["const auto x1 = g < F(1);", "return select(x1, g, p) / select(x1, F(1), g);"])


def power(g, p):
    return g**2


def call(g, p):
    return round(g)


def branch(g, p):
    if g > p:
        g = p
    return g


def largest(g, p):
    return max(g, p)


def library(g, p):
    return torch.exp(g)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (power, r"\*\* is none of its words; write g \* g for a square"),
        (call, "__round__"),
        (branch, r"a rule cannot branch on a value; use select\(condition, a, b\)"),
        (largest, r"a rule cannot branch on a value; use select\(condition, a, b\)"),
        (library, "exp"),
    ],
)
def test_outside_the_language(function, complaint):
    with pytest.raises(TypeError, match=f"{function.__name__} is outside the language of rules: .*{complaint}"):
        emit.rule_text(Rule(function))


def test_first_parameters_are_g_and_p():
    def swapped(p, g):
        return (g,)

    with pytest.raises(TypeError, match="first two parameters"):
        Rule(swapped)


def test_more_states_than_engines_carry():
    def greedy(g, p, a, b, c, d, e, f, h, i, j):
        return g, a, b, c, d, e, f, h, i, j

    with pytest.raises(ValueError, match="9 states; engines carry at most 8"):
        Rule(greedy, dict.fromkeys("abcdefhij", "signed"))


def test_unknown_kind_of_state():
    def odd(g, p, m):
        return g, m

    with pytest.raises(ValueError, match=r"rule odd: its states are \{'m': 'complex'\}; kinds are signed, positive"):
        Rule(odd, {"m": "complex"})
