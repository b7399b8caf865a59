import json
import math
import re
from pathlib import Path

import pytest
import torch
from conftest import set_gradients

import fusedopt
from fusedopt.advice import recommend
from fusedopt.choices import CHOICES, TASKS
from fusedopt.cli import main
from fusedopt.registry import is_known

PAGE = Path(__file__).parents[1] / "docs" / "choosing.md"
RESULTS = Path(__file__).parents[1] / "bench" / "results"
ROWS = [choice for choice in CHOICES if is_known(choice.name)]
GB = 10**9
EIGHT_BITS = pytest.mark.skipif(not is_known("adamw_8bit"), reason="no 8-bit state in this build")

EXPECTED = [
    ({"parameters": 124e6}, "adamw", 16),
    pytest.param({"parameters": 124e6, "memory": 1.9 * GB}, "adamw_8bit", 10.03, marks=EIGHT_BITS),
    ({"parameters": 124e6, "memory": 1.1 * GB}, "adamw_nnmf", 8.13),
    ({"parameters": 1e9, "task": "language", "batch_size": 512}, "adamw", 16),
    ({"parameters": 1e9, "task": "language", "batch_size": 512, "memory": 15 * GB}, "lion", 12),
    ({"parameters": 1e9, "task": "language", "batch_size": 63, "memory": 9 * GB}, "adamw_nnmf", 8.13),
    ({"parameters": 1e9, "task": "language", "memory": 8.05 * GB}, "adafactor", 8.01),
    ({"parameters": 25e6, "task": "convolutions"}, "sgd", 12),
    ({"parameters": 1e6, "task": "full-batch"}, "lbfgs", 108),
    ({"parameters": 2e6, "task": "full-batch"}, "adam", 16),
    ({"parameters": 1e9, "task": "sparse", "memory": 10 * GB}, "sgd", 8),
    ({"parameters": 1e9, "task": "language", "batch_size": 16383}, "adamw", 16),
    ({"parameters": 1e9, "task": "language", "batch_size": 16384}, "lamb", 16),
    ({"parameters": 1e9, "batch_size": 65536}, "lamb", 16),
    ({"parameters": 25e6, "task": "vision-transformer", "batch_size": 2047}, "adamw", 16),
    ({"parameters": 25e6, "task": "vision-transformer", "batch_size": 2048}, "lamb", 16),
    ({"parameters": 25e6, "task": "convolutions", "batch_size": 8192}, "sgd", 12),
    ({"parameters": 25e6, "task": "convolutions", "batch_size": 32768}, "lamb", 16),
    ({"parameters": 25e6, "task": "convolutions", "batch_size": 32768, "memory": 0.39 * GB}, "novograd", 12),
]


@pytest.mark.parametrize(("question", "name", "bytes_per_parameter"), EXPECTED)
def test_recommendations(question, name, bytes_per_parameter):
    found = recommend(**question)
    assert found.choice.name == name
    assert found.bytes / question["parameters"] == pytest.approx(bytes_per_parameter, rel=2e-3)


@pytest.mark.parametrize("choice", ROWS, ids=lambda choice: f"{choice.task}-{choice.name}")
def test_every_row_is_reached_and_its_line_makes_an_optimizer(choice):
    sizes = [count for count in (1e4, 1e8) if count <= choice.most_parameters]
    questions = [
        {"parameters": count, "batch_size": batch, "task": choice.task, "memory": memory}
        for count in sizes
        for batch in (1, choice.smallest_batch)
        for memory in (None, *(count * tenths / 10 for tenths in range(80, 250)))
    ]
    found = next(answer for answer in map(_answer, questions) if answer and answer.choice is choice)
    assert choice.source in str(found)
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.LayerNorm(4))
    optimizer = eval(found.code, {"fusedopt": fusedopt, "model": model})
    set_gradients(list(model.parameters()), 0)
    before = model[0].weight.detach().clone()
    with fusedopt.use_backend("eager"):
        optimizer.step(lambda: torch.ones(()))
    assert choice.name == "lbfgs" or not torch.equal(model[0].weight, before)


def _answer(question):
    try:
        return recommend(**question)
    except ValueError:
        return None


def test_a_model_counts_as_it_is():
    model = torch.nn.Linear(1000, 1000, bias=False, dtype=torch.bfloat16)
    assert recommend(model).bytes == 8 * 10**6 + 4  # weights, gradients and two moments in two bytes, a step count
    model = torch.nn.Sequential(model, torch.nn.Linear(1000, 1000).requires_grad_(False))
    assert recommend(model).choice.name == "adamw"


RATES = [  # proportional up to 8192, by the square root up to 8192 or 32768, or as they are
    ("convolutions", 64, 0.025),
    ("convolutions", 2048, 0.8),
    ("convolutions", 16000, 3.2),
    ("convolutions", 32768, 0.02),
    ("vision-transformer", 256, 0.0005),
    ("vision-transformer", 1024, 0.001),
    ("vision-transformer", 2048, 0.003),
    ("vision-transformer", 65536, 0.012),
    ("language", 2048, 0.0003),
    ("language", 16384, 0.0035),
    ("language", 2**20, 0.005),
]


@pytest.mark.parametrize(("task", "batch_size", "lr"), RATES)
def test_rates_that_belong_to_a_batch_grow_with_it_up_to_a_bound(task, batch_size, lr):
    found = recommend(25e6, batch_size=batch_size, task=task)
    assert f"lr={lr}," in found.code
    if scaling := found.choice.scaling:
        assert any(f"up to {scaling.most}" in reason and scaling.source in reason for reason in found.reasons)


def test_all_that_is_said_of_sparse_features_takes_sparse_gradients():
    for choice in (choice for choice in CHOICES if choice.task == "sparse"):
        embedding = torch.nn.Embedding(5, 3, sparse=True)
        optimizer = fusedopt.create_optimizer(choice.name, embedding, **choice.options)
        before = embedding.weight.detach().clone()
        embedding(torch.tensor([1])).sum().backward()
        with fusedopt.use_backend("eager"):
            optimizer.step()
        assert (embedding.weight != before).any(1).tolist() == [False, True, False, False, False]


def test_what_was_passed_over_is_told():
    reasons = recommend(1e9, memory=9e9, batch_size=8, task="language").reasons
    assert "not adamw: it takes 16 GB" in reasons
    assert "not lion: it is no better in batches below 64" in reasons
    assert "not lbfgs: it is for 1,000,000 parameters at most" in recommend(2e6, task="full-batch").reasons


NAN = math.nan
REFUSED = [
    ({"parameters": 1e9, "task": "chess"}, "Invalid task: 'chess'; choose from language"),
    ({"parameters": 0}, "Invalid parameters: 0; give a model"),
    ({"parameters": NAN}, "Invalid parameters: nan; give a model, or the number of its parameters, from 1 to 1e+15"),
    ({"parameters": math.inf}, "Invalid parameters: inf; give a model"),
    ({"parameters": 1e9, "batch_size": 0}, "Invalid batch_size: 0; it must be at least 1"),
    ({"parameters": 1e9, "batch_size": -3}, "Invalid batch_size: -3; it must be at least 1"),
    ({"parameters": 1e9, "batch_size": NAN}, "Invalid batch_size: nan; it must be at least 1"),
    ({"parameters": 1e9, "memory": NAN}, "Invalid memory: nan bytes; it must be at least 1, or left out for any"),
    ({"parameters": 1e9, "memory": -2e9}, "Invalid memory: -2e+09 bytes; it must be at least 1, or left out for any"),
    ({"parameters": 1e9, "memory": 7e9, "task": "sparse"}, "memory is 7 GB, but 'sparse' takes 8 GB at least"),
]


@pytest.mark.parametrize(("question", "message"), REFUSED)
def test_refusals(question, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        recommend(**question)


def test_command(capsys):
    question = "recommend --parameters 25e6 --memory 1 --batch-size 512 --task convolutions"
    main(question.split())
    assert capsys.readouterr().out == f"{recommend(25e6, GB, 512, 'convolutions')}\n"
    with pytest.raises(SystemExit, match="fusedopt recommend: memory is 1 MB, but 'other' takes"):
        main(["recommend", "--parameters", "25e6", "--memory", "0.001"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--parameters nan", "Invalid parameters: nan"),
        ("--parameters inf", "Invalid parameters: inf"),
        ("--parameters 25e6 --memory nan", "Invalid memory: nan bytes"),
        ("--parameters 25e6 --memory -2", "Invalid memory: -2e+09 bytes"),
        ("--parameters 25e6 --batch-size 0", "Invalid batch_size: 0; it must be at least 1"),
    ],
)
def test_the_command_refuses_what_is_no_size(arguments, message):
    with pytest.raises(SystemExit, match=re.escape(f"fusedopt recommend: {message}")):
        main(["recommend", *arguments.split()])


MEASURED = [
    ("lion", "Lion", "in {:.1f} of the time"),
    ("adamw_nnmf", "AdamW-nnmf", "in {:.1f} times the time"),
    ("sm3", "SM3", "takes {:.1f} of the time"),
]


@pytest.mark.parametrize(("name", "optimizer", "phrase"), MEASURED)
def test_ratios_of_time_are_those_of_the_results(name, optimizer, phrase):
    files = [json.loads((RESULTS / name).read_text()) for name in ("cpu_fp32.json", "cpu_factored.json")]
    rows = [row for file in files for row in file["rows"]]
    (ratio,) = {
        1 / row["speedup_vs_torch_fused"]
        for row in rows
        if (row["model"], row["optimizer"], row["implementation"]) == ("gpt2", optimizer, "fusedopt cpu")
    }
    page = (PAGE.parent / "optimizers" / f"{name}.md").read_text().replace("\n", " ") if name == "sm3" else ""
    claims = [choice.reason for choice in CHOICES if choice.name == name] or [page]
    assert all(f"{phrase.format(ratio)} of torch's fused AdamW" in claim for claim in claims)


def table():
    """The rows of CHOICES as the page shows them."""
    for task in TASKS:
        yield f"| **{task}**: {TASKS[task]} | | | |"
        yield from (_row(choice) for choice in CHOICES if choice.task == task)


def _row(choice):
    options = ", ".join(f"{key}={value!r}" for key, value in choice.options.items())
    limits = [f"batches of {choice.smallest_batch} and more"] * (choice.smallest_batch > 1)
    limits += [f"at most {choice.most_parameters:,.0f} parameters"] * (choice.most_parameters < float("inf"))
    limits += [str(choice.scaling)] * bool(choice.scaling)
    why = f"{choice.reason} ({'; '.join(limits)})" if limits else choice.reason
    return f"| `{choice.name}` | {f'`{options}`' if options else 'defaults'} | {why} | {choice.source} |"


def test_the_page_shows_the_table():
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") or line.startswith("| **")]
    assert shown == list(table())
