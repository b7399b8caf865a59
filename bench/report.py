"""Rows of results, and the tables printed from them."""

from itertools import groupby
from statistics import median

from rich.console import Group
from rich.table import Table

LEGEND = """\
All rows of an optimizer take turns on the same weights, gradients and state.
ms      median of the rounds; ± half the way from their 20th to 80th percentile
host    on a GPU, how long a call keeps Python busy; ms is the GPU's own time
floor   bytes per parameter that a step must read and write; GB/s = floor / time
memory  GB/s as a share of what an in-place pass over 256 MB reaches
state   bytes per parameter kept between steps
vs      times faster than torch's fused step, and than fusedopt's reference"""


def rows(scale, copy, *lanes, context):
    """One row for each lane of an optimizer; ``scale`` and ``copy`` are the lanes of the yardsticks."""
    medians = {lane.contender.name: lane.quantile(0.5) for lane in lanes}
    fused = next((ms for name, ms in medians.items() if name.startswith("torch fused")), None)
    eager = medians.get("fusedopt eager")
    return [context | _row(lane, context["parameters"], scale, copy, fused, eager) for lane in lanes]


def _row(lane, parameters, scale, copy, fused, eager):
    ms = lane.quantile(0.5)
    return {
        "implementation": lane.contender.name,
        "ms": ms,
        "ms_p20": lane.quantile(0.2),
        "ms_p80": lane.quantile(0.8),
        "host_ms": median(lane.host_ms),
        "rounds": lane.rounds,
        "steps_per_round": lane.repeats,
        "ns_per_parameter": ms * 1e6 / parameters,
        "floor_bytes_per_parameter": lane.contender.floor_bytes() / parameters,
        "state_bytes_per_parameter": lane.contender.state_bytes() / parameters,
        "gb_per_s": lane.gb_per_s,
        "scale_gb_per_s": scale.gb_per_s,
        "copy_gb_per_s": copy.gb_per_s,
        "speedup_vs_torch_fused": fused and fused / ms,
        "speedup_vs_eager": eager and eager / ms,
    }


def table(rows):
    """The rows of one model, a section for each optimizer."""
    host = ["host\nms"] if rows[0]["device"] == "cuda" else []
    result = Table(box=None, padding=(0, 0, 0, 1), pad_edge=False)
    result.add_column("", no_wrap=True)
    headings = "\nms", "\n±", *host, "ns/\nparam", "floor\nbytes", "\nGB/s", "% of\nmemory", "state\nbytes"
    for heading in (*headings, "vs\nfused", "vs\neager"):
        result.add_column(heading, justify="right", no_wrap=True)
    for optimizer, section in groupby(rows, lambda row: row["optimizer"]):
        result.add_row(f"[b]{optimizer}[/b]")
        for row in section:
            result.add_row(f"  {row['implementation']}", *_cells(row, host))
    return Group(_heading(rows), result)


def _heading(rows):
    first = rows[0]
    part = f" ({first['part']})" if first["part"] else ""
    scale, copy = (median(row[f"{name}_gb_per_s"] for row in rows) for name in ("scale", "copy"))
    return (
        f"[b]{first['model']}[/b]{part}: {first['parameters']:,} parameters in {first['tensors']} tensors\n"
        f"{first['dtype']} on {first['device']}; memory {scale:,.1f} GB/s in place, {copy:,.1f} GB/s copying"
    )


def _cells(row, host):
    speedups = row["speedup_vs_torch_fused"], row["speedup_vs_eager"]
    return [
        _short(row["ms"]),
        f"{(row['ms_p80'] - row['ms_p20']) / 2 / row['ms']:.0%}",
        *(_short(row["host_ms"]) for _ in host),
        _short(row["ns_per_parameter"]),
        f"{row['floor_bytes_per_parameter']:.4g}",
        _short(row["gb_per_s"]),
        f"{row['gb_per_s'] / row['scale_gb_per_s']:.0%}",
        f"{row['state_bytes_per_parameter']:.4g}",
        *(f"{_short(speedup)}x" if speedup else "" for speedup in speedups),
    ]


def _short(x):
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"
