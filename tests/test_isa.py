"""Every instruction set gives the same bits, and so does any number of threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from isa_digest import digest

from fusedopt import backends
from fusedopt.backends import native

pytestmark = pytest.mark.skipif(bool(native.missing), reason=str(native.missing))
ISAS = [] if native.missing else native._C.isas()
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def expected():
    return digest()


def run_digest(isa):
    environment = {**os.environ, "FUSEDOPT_ISA": isa}
    return subprocess.run([sys.executable, "isa_digest.py"], cwd=HERE, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("isa", ISAS)
def test_isa_gives_the_same_bits(isa, expected):
    result = run_digest(isa)
    if "does not run on this CPU" in result.stderr:
        pytest.skip(f"this CPU has no {isa}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == expected


def test_unknown_isa_is_refused():
    result = run_digest("mmx")
    assert result.returncode != 0
    assert "FUSEDOPT_ISA=mmx is not compiled in or does not run on this CPU" in result.stderr


def test_threads_give_the_same_bits(expected):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert digest() == expected
    finally:
        torch.set_num_threads(threads)


def test_unavailable_names_the_reason():
    assert backends.unavailable("cpu", torch.device("cuda", 0)) == "it runs on CPU tensors only"
