"""What numbers hold for: versions, processor, commit."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

import fusedopt
from fusedopt.backends import native


def versions():
    return {name: _version(name) for name in ("fusedopt", "torch", "triton")} | {"python": platform.python_version()}


def _version(package):
    if package == "fusedopt":
        return fusedopt.__version__  # also when imported from a source folder
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def hardware():
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "isa": native._C.isa() if native._C else None,
        "memory_gb": round(memory_bytes(torch.device("cpu")) / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def memory_bytes(device):
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def commit():
    """The commit of the clone that the working directory is in, marked when files differ from it; else the version."""
    describe = "git ls-files --error-unmatch fusedopt/rule.py && git describe --always --dirty --abbrev=40"
    found = subprocess.run(describe, shell=True, capture_output=True, text=True)
    return found.stdout.split()[-1] if found.returncode == 0 else f"version {fusedopt.__version__}"


def circumstances():
    """What a file of results says besides its rows."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["fusedopt", *sys.argv[1:]]),
        "commit": commit(),
        "versions": versions(),
        "machine": hardware(),
    }
