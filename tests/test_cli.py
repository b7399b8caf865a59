import json
import subprocess
import sys

import pytest
import torch

from fusedopt.backends import NAMES, compiler
from fusedopt.bench.contenders import NUMBERS, OPTIMIZERS, contenders
from fusedopt.bench.harness import Lane
from fusedopt.bench.models import MODELS
from fusedopt.cli import main


def test_info_names_every_backend_and_version(capsys):
    main(["info"])
    lines = capsys.readouterr().out.splitlines()
    status = {line.split()[0]: line for line in lines if "available" in line}
    assert set(NAMES) <= set(status)
    assert "not available" not in status["eager"]
    assert any(line.split() == ["torch", torch.__version__] for line in lines)


def test_info_names_the_compiler_or_why_there_is_none(monkeypatch, capsys):
    monkeypatch.setattr(compiler, "_compiler", compiler._compiler.__wrapped__)
    monkeypatch.setenv("CXX", "some-compiler --fast")
    assert compiler.described().startswith("some-compiler --fast, keeps rules in ")
    monkeypatch.setenv("FUSEDOPT_COMPILE", "0")
    assert compiler.described() == "none: FUSEDOPT_COMPILE=0 forbids compiling rules"


@pytest.mark.parametrize(
    ("name", "parameters", "tensors"),
    [
        ("gpt2", 124_439_808, 148),
        ("llama-3.2-1b", 1_235_814_400, 146),
        ("resnet50", 25_557_032, 161),
        ("vit-b-16", 86_567_656, 152),
        ("tiny", 16_000, 1000),
    ],
)
def test_models_have_the_published_number_of_parameters(name, parameters, tensors):
    assert (MODELS[name].parameters, len(MODELS[name].shapes)) == (parameters, tensors)


def test_truncation_drops_layers_then_the_stem():
    whole = MODELS["llama-3.2-1b"]
    layer, embedding = 60_821_504, 128_256 * 2048
    cut = whole.truncated(lambda model: model.parameters < embedding + 3.5 * layer)
    assert (cut.parameters, cut.part_of(whole)) == (embedding + 3 * layer + 2048, "3 of 16 layers")
    cut = whole.truncated(lambda model: model.parameters < 2.5 * layer)
    assert (cut.parameters, cut.part_of(whole)) == (2 * layer + 2048, "2 of 16 layers without the stem")
    assert whole.truncated(lambda model: model.parameters < layer) is None
    assert whole.truncated(lambda model: True).part_of(whole) == ""


FACTORS = 4 * (32 + 32)  # bytes of a row and a column value for each row and column of a (32, 32) parameter
SIGNS = 32 * 4  # bits
CODES = 1024 + 4 * 4  # a byte an element, four scales
COPY = 4 * 1024  # float32, of every element
FLOORS = {  # elements read and written per parameter; bytes of statistics of a (32, 32) parameter; of residuals in bf16
    "SGD-momentum": (5, 0),
    "Adam": (7, 0),
    "AdamW": (7, 0),
    "AdamW-amsgrad": (9, 0),
    "AdamW-cautious": (7, 0),
    "AdamW-max_grad_norm": (8, 0),
    "Lion": (5, 0),
    "Adafactor": (6, FACTORS),  # gradients for the factors, for the clipping, for the update; parameters' size, update
    "Adafactor-hf": (6, FACTORS),
    "SMMF": (3, 2 * FACTORS + SIGNS),
    "SM3": (3, FACTORS),
    "Amos": (3, 2 * 4 * 32),  # two values a row
    "AdamW-nnmf": (3, 2 * FACTORS + SIGNS),
    "CAME": (8, 2 * FACTORS),  # gradients in four sweeps; a momentum
    "AdaMini": (5, 4 * 32),
    "AdamW8bit": (3, 2 * CODES),
    "AdamW8bit-split24": (3, 2 * CODES, 1024),
    "AdamW8bit-split32": (3, 2 * CODES, 2048),
    "Lion8bit": (3, CODES),
    "RMSprop": (5, 0),
    "Adagrad": (5, 0),
    "Adadelta": (7, 0),
    "Adamax": (7, 0),
    "NAdam": (7, 0),
    "RAdam": (7, 0),
    "Rprop": (7, 0),
    "ASGD": (5, 0),
    "SAdam": (9, 0),
    "AdamAtan2": (7, 0),
    "DiffGrad": (9, 0),
    "AdaMomentum": (7, 0),
    "LAMB": (10, 0),
    "LAMB-unclipped": (9, 0),
    "NovoGrad": (6, 4),
    "NSGDA": (6, 0),
    "AdamNorm": (8, 4),
    "AdaLo": (5, 0),
    "AMAdamW": (9, 4),
    "Ranger": (7, COPY / 6),  # slow weights in every sixth step
    "AdamW-cautious-clipped-averaged": (8, COPY),
    "AdamW-ema": (7, COPY),
    "AdamW-agc": (7, 0),
    "AdamW-trust_ratio": (9, 0),
}


OTHER_STATE = ("torch fused AdamW", "transformers", "bitsandbytes", "torchao", "pytorch_optimizer")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_contenders_state_what_a_step_must_move_and_share_their_state(name, dtype):
    p = torch.nn.Parameter(torch.ones(32, 32, dtype=dtype))
    p.grad = torch.full_like(p, 0.5)
    field = {contender.name: contender for contender in contenders(name, [p], ["eager"])}
    ours = field["fusedopt eager"]
    elements, statistics, *residuals = FLOORS[name]
    statistics += sum(residuals) if dtype == torch.bfloat16 else 0
    assert ours.floor_bytes() == pytest.approx(1024 * elements * dtype.itemsize + 2 * statistics, rel=1e-12)
    for other in field.values():
        if other.name not in OTHER_STATE and (dtype == torch.float32 or not statistics):
            assert other.floor_bytes() == ours.floor_bytes()
            assert _addresses(other) == _addresses(ours)
    assert sum(name.startswith("torch") for name in field) in (1, 3)


def _addresses(contender):
    return {key: record[key].data_ptr() for _, record, key in contender.states() if key not in NUMBERS}


def test_slow_lanes_spread_their_samples():
    lane = Lane(None, torch.device("cpu"), lambda: None)
    lane.rounds = 3
    due = [index for index in range(20) if lane.is_due(index, 20)]
    assert due == [6, 13, 19]


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
def test_bench_writes_consistent_rows(device, tmp_path, capsys):
    file = tmp_path / "results" / "tiny.json"
    selection = f"--models tiny --optimizers AdamW Lion --rounds 2 --device {device}"
    main(["bench", *selection.split(), "--json", str(file)])
    assert "tiny: 16,000 parameters in 1000 tensors" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert result["versions"]["torch"] == torch.__version__
    assert result["machine"]["threads"] == torch.get_num_threads()
    rows = {(row["optimizer"], row["implementation"]): row for row in result["rows"]}
    assert {("AdamW", "fusedopt eager"), ("AdamW", "torch fused"), ("Lion", "torch fused AdamW")} <= rows.keys()
    for row in rows.values():
        assert 0 < row["ms_p20"] <= row["ms"] <= row["ms_p80"]
        assert row["ns_per_parameter"] == pytest.approx(row["ms"] * 1e6 / 16_000)
        assert row["gb_per_s"] == pytest.approx(row["floor_bytes_per_parameter"] / row["ns_per_parameter"])
        assert min(row["scale_gb_per_s"], row["copy_gb_per_s"], row["host_ms"]) > 0
        eager = rows[row["optimizer"], "fusedopt eager"]
        assert row["speedup_vs_eager"] == pytest.approx(eager["ms"] / row["ms"])
    assert rows["AdamW", "torch fused"]["state_bytes_per_parameter"] == 8 + 4 / 16  # two moments, one step per tensor
    assert rows["AdamW", "fusedopt eager"]["state_bytes_per_parameter"] == 8 + 4 / 16
    assert rows["Lion", "fusedopt eager"]["state_bytes_per_parameter"] == 4
    assert rows["AdamW", "torch fused"]["speedup_vs_torch_fused"] == 1


def test_bench_measures_memory(tmp_path):
    """In a process of its own: what other tests free meanwhile would count."""
    file = tmp_path / "memory.json"
    chosen = ["--models", "gpt2", "--optimizers", "SMMF", "--device", "cpu", "--backends", "cpu"]
    command = [sys.executable, "-P", "-m", "fusedopt", "bench", "--memory", *chosen, "--json", str(file)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ours, theirs = json.loads(file.read_text())["rows"]
    assert (ours["implementation"], theirs["implementation"]) == ("fusedopt cpu", "torch fused AdamW")
    assert 1 / 8 < ours["state_bytes_per_parameter"] < 0.15  # one bit for each sign, and the factors
    assert abs(ours["extra_share"]) < 0.01
    assert "SMMF" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "gpt5"], "gpt5"),
        (["--rounds", "0"], "--rounds is 0, but must be at least 1"),
        (["--backends", "cuda", "--device", "cpu"], "backend 'cuda' cannot step parameters on cpu"),
    ],
)
def test_bench_refuses_what_cannot_run(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["bench", *arguments])
    assert message in str(exit.value) + capsys.readouterr().err
