"""docs/convergence.md says what the committed results say, and the committed settings reach what it says."""

from pathlib import Path

import pytest

from fusedopt.bench import optima, optima_page
from fusedopt.bench.optima_settings import SETTINGS
from fusedopt.registry import CUSTOM, classes

ROOT = Path(__file__).parents[1]


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.chdir(ROOT)
    return optima_page.read()


def test_every_optimizer_has_settings_for_every_problem():
    own = {name: cls for name, cls in classes().items() if name not in CUSTOM}
    assert {own[name] for name in SETTINGS} == set(own.values())
    assert all(tuple(row) == optima.PROBLEMS for row in SETTINGS.values())


def test_results_are_those_of_the_settings_and_reach_the_optimum(rows):
    expected = {(name, problem): tuned for name, row in SETTINGS.items() for problem, tuned in row.items()}
    found = {(row["optimizer"], row["problem"]): row for row in rows}
    assert found.keys() == expected.keys()
    for key, row in found.items():
        options = {name: tuple(x) if isinstance(x, list) else x for name, x in row["options"].items()}
        assert (row["steps"], options) == (expected[key].steps, expected[key].options), key
        assert optima.reaches(row), key


def test_tables_are_those_of_the_results(rows):
    page = optima_page.PAGE.read_text()
    tables = optima_page.tables(rows)
    assert page == optima_page.filled(page, tables)
    assert all(table in page for table in tables.values())


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_reach_the_optimum(name):
    """On the first function that takes no more than 2000 steps."""
    functions = "quadratic", "rosenbrock", "beale"
    problem = next(each for each in functions if SETTINGS[name][each].steps <= 2000)
    assert optima.row(problem, name)["value"] <= optima.LIMIT
