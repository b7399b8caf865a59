"""The pages of docs/optimizers name every hyper-parameter of a class with its default, and nothing else."""

import inspect
import re
from pathlib import Path

import pytest

from fusedopt.optimizer import DEFAULTS
from fusedopt.registry import classes

PAGES = Path(__file__).parents[1] / "docs" / "optimizers"
NAMES = [name for name, cls in classes().items() if name == cls.__name__.lower()]  # not AdaNorm, another's second name
NAMES = [name for name in NAMES if not name.endswith("8bit")]  # these only preset an option


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_the_signature(name):
    text = (PAGES / f"{name}.md").read_text()
    assert text.startswith(f"# {classes()[name].__name__}\n")
    parameters = inspect.signature(classes()[name]).parameters.values()
    own = [x for x in parameters if x.name not in {"params", *DEFAULTS} and x.kind != x.VAR_KEYWORD]
    assert re.findall(r"^\| `(\w+)` \| `(.+?)` \|", text, re.M) == [(x.name, repr(x.default)) for x in own]


def test_no_page_is_left_over_and_links_lead_somewhere():
    assert {page.stem for page in PAGES.glob("*.md")} == set(NAMES)
    for page in [*PAGES.glob("*.md"), PAGES.parent / "choosing.md"]:
        for target in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
