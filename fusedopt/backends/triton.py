"""The Triton engine: one launch for every combination of dtypes in a bucket, and every kernel of a rule's stages.

Runs the rules that users define, too.
"""

from dataclasses import dataclass

import torch

from . import native
from .cuda import chunk_map
from .engine import Engine

_CAPTURED = []  # what CUDA graphs read at every replay, perhaps after the engine that made it is gone


@dataclass
class Launch:
    """A kernel over a bucket's tensors that are alike; and, if it makes ``sums``, the programs that add those up."""

    chunks: torch.Tensor
    constants: dict
    finishers: torch.Tensor | None = None
    sums: int = 0


class Triton(Engine):
    def __init__(self, bucket):
        from ..triton_kernels import matrix, plan, step  # pyright: ignore[reportMissingImports]

        super().__init__(bucket)
        self.step, self.matrix, self.plan = step, matrix, plan
        self.table = None if native.missing else native.NativeTable(bucket)
        self.words = torch.full((len(bucket.entries), step.WORDS.value), -1, device="cpu")
        self._send_words()
        self.chunks = {dtypes: self._map(sizes, step.BLOCK) for dtypes, sizes in _sizes(bucket.entries).items()}
        self.memory, self.late = [], []
        self.launches = list(self._sweeps() if bucket.rule.sees_matrices else self._steps())

    def _steps(self):
        for dtypes, chunks in self.chunks.items():
            yield Launch(chunks, self.step.constants(self.bucket.rule, dtypes))

    def _sweeps(self):
        rule, entries = self.bucket.rule, self.bucket.entries
        matrices = [entry.matrix for entry in entries]
        plan = self.plan.Plan(rule, [_dtypes(entry) for entry in entries], matrices, self.bucket.dtype)
        scratch = torch.empty(plan.size, dtype=self.bucket.dtype, device=self.bucket.device)
        places = self._send(scratch.data_ptr() + scratch.itemsize * plan.offsets)
        self.memory = [scratch, places]
        self.late = [
            (entry.states[i], self._new(entry, column, offsets, scratch))
            for i, column in self.plan.late(rule.stages)
            for entry, offsets in zip(entries, plan.offsets.tolist(), strict=True)
            if entry.param.numel() > 0
        ]
        for launch in plan.launches:
            constants = {"places": places, "TEXT": launch.text, "S": launch.sweep}
            sums = len(launch.sweep.row_sums + launch.sweep.sums)
            yield Launch(self._map(launch.programs, 1), constants, self._map(launch.finishers, 1), sums)

    def _new(self, entry, column, offsets, scratch):
        """A state's new value, which may be another state."""
        if column < self.plan.SCRATCH:
            return entry.states[column - self.plan.STATES]
        return scratch[offsets[column - self.plan.SCRATCH] :]

    @staticmethod
    def unavailable(device):
        try:
            from triton import knobs
        except ImportError as error:
            return f"Triton cannot be imported ({error}); install it with `pip install triton`"
        if knobs.runtime.interpret:
            on_cpu = device is None or device.type == "cpu"
            return None if on_cpu else "Triton's interpreter (TRITON_INTERPRET=1) runs on CPU tensors only"
        if device is not None and device.type != "cuda":
            return "it runs on CUDA tensors only"
        return None if torch.cuda.is_available() else "torch finds no CUDA device"

    def refresh(self):
        if self.table is None or not self.table.refresh():
            return False  # without compiled code the step is planned anew every time
        self._send_words()
        return True

    def sum_squares(self):
        total = torch.zeros((), dtype=torch.float64, device=self.bucket.device)
        for dtypes, chunks in self.chunks.items():
            partials = torch.empty(len(chunks), dtype=torch.float64, device=self.bucket.device)
            (grad,) = self.step.triton_types(dtypes[:1])
            self._launch(self.step.sum_squares, (len(chunks),), chunks, partials, TYPE=grad)
            total += partials.sum()
        return total

    def run(self, table, coefficient):
        scalars = table.to(self.bucket.device, non_blocking=True)
        if coefficient is not None:
            coefficient = coefficient.to(self.bucket.device, non_blocking=True)
        arguments = scalars, table.shape[-1], coefficient
        kernel = self.matrix.sweep if self.bucket.rule.sees_matrices else self.step.step
        for launch in self.launches:
            self._launch(kernel, (len(launch.chunks),), launch.chunks, *arguments, **launch.constants)
            if launch.finishers is not None:
                grid, places, sweep = (len(launch.finishers), launch.sums), self.memory[1], launch.constants["S"]
                self._launch(self.matrix.finish, grid, launch.finishers, places, S=sweep)
        values = [new.flatten()[: state.numel()].clone() for state, new in self.late]
        for (state, _), value in zip(self.late, values, strict=True):
            state.copy_(value.view_as(state))

    def advance(self):
        if self.table is None or self.bucket.capturable:
            super().advance()
        else:
            self.table.native.advance()

    def _launch(self, kernel, grid, chunks, *arguments, **constants):
        if len(chunks) == 0:
            return
        with torch.cuda.device_of(chunks):
            kernel[grid](self.rows, chunks, *arguments, **constants, **self.step.OPTIONS)
        memory = (self.rows, chunks, *self.memory)
        if self._capturing():
            _CAPTURED.extend(memory)
        elif chunks.is_cuda:  # steps may run on other streams than the one that made these
            for tensor in memory:
                tensor.record_stream(torch.cuda.current_stream(chunks.device))

    def _send_words(self):
        """Sends the addresses to the device, unless it has them already."""
        if self.table is None:
            self.words = torch.tensor([_words(entry) for entry in self.bucket.entries], device="cpu")
        elif not self.table.native.write(self.words.data_ptr()):
            return
        self.rows = self._send(self.words)  # a new tensor each time: a captured graph may still read the old one

    def _map(self, sizes, chunk):
        return self._send(chunk_map(sizes, chunk))

    def _send(self, tensor):
        if self._capturing():  # a replay copies from the same host memory again
            tensor = tensor.pin_memory()
            _CAPTURED.append(tensor)
        return tensor.to(self.bucket.device, non_blocking=True)

    def _capturing(self):
        return self.bucket.capturable and torch.cuda.is_current_stream_capturing()


def _words(entry):
    """One tensor's row, as ``csrc/row.h`` has it but for the dtypes, which are compiled into the kernel."""
    addresses = [t.data_ptr() for t in (entry.grad, entry.param, *entry.states)]
    sizes = entry.param.numel(), entry.matrix.rows, entry.matrix.cols
    return [*addresses, *[0] * (8 - len(addresses)), *sizes, entry.row]


def _dtypes(entry):
    return tuple(t.dtype for t in (entry.grad, entry.param, *entry.states))


def _sizes(entries):
    """For every combination of dtypes, those of gradient, parameter and states: the tensors' sizes, others' as 0."""
    return {
        group: [entry.param.numel() if _dtypes(entry) == group else 0 for entry in entries]
        for group in dict.fromkeys(map(_dtypes, entries))
    }
