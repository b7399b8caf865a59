"""Sums in torch that are the same on any number of threads."""

import torch

RUN = 1024  # elements; torch gives a sum of 32768 to several threads, each of which adds up a part


def total(x):
    """The sum of all elements, a 0-dim float64 tensor: that of sums of runs of elements, each made by one thread."""
    x = x.flatten()
    whole = x.numel() // RUN * RUN
    runs = x[:whole].view(-1, RUN).sum(1, dtype=torch.float64)
    rest = x[whole:].sum(dtype=torch.float64)
    return rest + (total(runs) if whole else 0.0)
