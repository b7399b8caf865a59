"""Interleaved timing; ``protocol.md`` says why each step is as it is."""

import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

SAMPLE_MS = 10.0  # a sample repeats short steps until it lasts about this long
LEAST_ROUNDS = 3


class Lane:
    """The samples of one contender: ``ms`` per step, and ``host_ms`` per step that Python was busy."""

    def __init__(self, contender: Any, device, restore: Callable[[], object]):
        self.contender, self.device, self.restore = contender, device, restore
        self.ms: list[float] = []
        self.host_ms: list[float] = []

    def warm_up(self, rounds, seconds):
        """Lets the step settle, then fixes its repeats in one sample and as many samples as ``seconds`` allow."""
        self.restore()
        self.contender.step()
        ms, host_ms = timed(self.contender.step, 1, 0.0, self.device)
        self.repeats = self.contender.period * max(1, math.ceil(SAMPLE_MS / ms / self.contender.period))
        self.backlog_ms = host_ms * self.repeats
        self.rounds = min(rounds, max(LEAST_ROUNDS, int(seconds * 1e3 / (ms * self.repeats))))

    def is_due(self, index, rounds):
        """Whether to sample in round ``index`` of ``rounds``: a lane with fewer spreads them over the run."""
        return (index + 1) * self.rounds // rounds > index * self.rounds // rounds

    def sample(self):
        self.restore()
        ms, host_ms = timed(self.contender.step, self.repeats, self.backlog_ms, self.device)
        self.ms.append(ms)
        self.host_ms.append(host_ms)

    def quantile(self, q):
        return float(np.quantile(self.ms, q))

    @property
    def gb_per_s(self):
        return self.contender.floor_bytes() / self.quantile(0.5) / 1e6


def race(lanes, rounds, tick):
    """Samples the lanes in turn, in a new order every round, and calls ``tick`` after each round."""
    for index in range(rounds):
        for lane in random.Random(index).sample(lanes, len(lanes)):
            if lane.is_due(index, rounds):
                lane.sample()
        tick()


def timed(step, repeats, backlog_ms, device):
    """Milliseconds per step, and milliseconds per step that Python was busy: the same on a CPU."""
    if device.type == "cuda":
        return _timed_on_gpu(step, repeats, backlog_ms)
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    ms = (time.perf_counter() - start) * 1e3 / repeats
    return ms, ms


def _timed_on_gpu(step, repeats, backlog_ms):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(int(backlog_ms * 2e6))  # cycles at 2 GHz: the GPU waits while the host queues the steps
    begin.record()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    host_ms = (time.perf_counter() - start) * 1e3 / repeats
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / repeats, host_ms
