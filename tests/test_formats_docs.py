"""docs/formats.md says what the committed results say."""

import statistics
from pathlib import Path

import pytest

from fusedopt.bench import convergence, formats_page

ROOT = Path(__file__).parents[1]
NAMED = {"nearest", "plain", "dynamic", "Lion"}  # contenders of which the page does not claim that they do no harm


@pytest.fixture
def results(monkeypatch):
    monkeypatch.chdir(ROOT)
    return formats_page.read()


def row(rows, **facts):
    (found,) = (row for row in rows if facts.items() <= row.items())
    return found


def test_tables_are_those_of_the_results(results):
    page = formats_page.PAGE.read_text()
    assert page == formats_page.filled(page, formats_page.tables(results))
    assert all(table in page for table in formats_page.tables(results).values())


def test_harmless_formats_are_within_the_noise_of_seeds(results):
    """The mean difference to float32 is no larger than float32's own deviation from seed to seed."""
    runs = results["convergence"]
    for run in runs:
        if not any(word in run["contender"] for word in NAMED):
            for key in ("training", "held_out"):
                spread = statistics.stdev(convergence.reference(run, runs)[key])
                more = statistics.mean(convergence.differences(run, runs, key))
                assert len(run[key]) >= 5
                assert abs(more) <= spread, (run["task"], run["contender"], key)


def test_numbers_of_the_text(results):
    runs = results["convergence"]
    for name, key, times in (("plain weights, fp32 state", "training", 4), ("8-bit dynamic state", "held_out", 3)):
        run = row(runs, task="digits", contender=f"AdamW, {name}")
        spread = statistics.stdev(convergence.reference(run, runs)[key])
        assert statistics.mean(convergence.differences(run, runs, key)) / spread == pytest.approx(times, abs=0.5)
    lion = row(runs, task="digits", contender="Lion, 8-bit state")
    assert max(convergence.differences(lion, runs, "held_out")) < 0  # "for every seed"
    deviations = {each["format"]: each["deviation"][-1] for each in results["small_updates"]}
    assert 25 <= deviations["stochastic"] / deviations["split24"] <= 35  # "a thirtieth"
    for run in results["reversal"]:
        ours, _, exact = run["reversed"]
        assert abs(ours / exact - 1) <= 0.03  # by chance: "the probabilities that keep their mean"
        assert run["ended"][0] == 0  # "comes to rest"
    zeros = row(results["errors"], scheme="fusedopt", state="m", blocks="heavy-tailed")["zeros"]
    assert zeros == pytest.approx(0.03, abs=0.005)  # "3 %"
    stuck = {run["rule"]: run for run in results["reversal"] if run["scale"] == "stands"}
    for rule in ("AdamW, beta1 = 0.95", "Lion, beta2 = 0.99", "SGD, momentum = 0.99"):
        assert stuck[rule]["reversed"][1] < 0  # to nearest: "the direction that they had"
    assert row(results["bytes"], contender="AdamW, 8-bit state")["states"] <= 2.05


def test_plots_are_shown_and_small(results):
    pages = "".join(page.read_text() for page in formats_page.PAGE.parent.glob("*.md"))
    for path in formats_page.PLOTS.glob("*.png"):
        assert f"plots/{path.name}" in pages
        assert path.stat().st_size <= 150_000
