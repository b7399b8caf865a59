"""``fusedopt bench --memory``: the state that is kept, and the most that steps take beyond it."""

import ctypes
from pathlib import Path

import torch
from rich.table import Table

from .contenders import fresh

STEPS = 3
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LEGEND = """\
state   bytes per parameter kept between steps
extra   the most that three steps took beyond parameters, gradients and state,
        as a share of the parameters' bytes; on a CPU from the process's peak,
        which the system counts to within 0.2 % of GPT-2"""


def rows(name, params, backends, context):
    """One row for each implementation of optimizer ``name``."""
    device = params[0].device
    _give_back_what_is_freed()
    small = [torch.nn.Parameter(torch.ones(64, 64, dtype=params[0].dtype, device=device))]
    small[0].grad = torch.ones_like(small[0])
    for contender in fresh(name, small, backends):
        contender.step()  # loads code and starts threads
    for contender in fresh(name, params, backends):
        yield {**context, "implementation": contender.name, **_measured(contender, params, device)}


def _measured(contender, params, device):
    before = _reset_peak(device)
    for _ in range(STEPS):
        contender.step()
    state = contender.state_bytes()
    return {
        "state_bytes_per_parameter": state / sum(p.numel() for p in params),
        "extra_share": (_peak(device) - before - state) / sum(p.nbytes for p in params),
    }


def _give_back_what_is_freed():
    """glibc keeps what a step frees for the next one, where its peak would not show."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for threshold in (TRIM_THRESHOLD, MMAP_THRESHOLD):
        if mallopt:
            mallopt(threshold, 1 << 16)


def _reset_peak(device):
    """Forgets earlier peaks; returns the bytes in use."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if not PEAK.exists():
        raise SystemExit("fusedopt bench: --memory on a CPU reads Linux's /proc, which this system does not have")
    PEAK.write_text("5")  # proc(5): sets the peak to what is resident
    return _resident("VmRSS")


def _peak(device):
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")


def _resident(key):
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def table(rows):
    """The rows of one model."""
    first = rows[0]
    title = f"{first['model']}: {first['parameters']:,} parameters, {first['dtype']} on {first['device']}"
    result = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "", "state", "extra"):
        result.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        state, extra = f"{row['state_bytes_per_parameter']:.3f}", f"{row['extra_share']:.2%}"
        result.add_row(row["optimizer"], row["implementation"], state, extra)
    return result
