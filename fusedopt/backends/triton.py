"""The Triton engine: one launch for every combination of dtypes in a bucket, and every kernel of a rule's stages.

Runs the rules that users define, too.
"""

import torch

from ..rule import MAX_STATES
from . import native
from .cuda import chunk_map
from .engine import Engine

_CAPTURED = []  # what CUDA graphs read at every replay, perhaps after the engine that made it is gone


class Triton(Engine):
    def __init__(self, bucket):
        from ..triton_kernels import matrix, plan, step, sums  # pyright: ignore[reportMissingImports]

        super().__init__(bucket)
        self.step, self.matrix, self.sums = step, matrix, sums
        self.table = None if native.missing else native.NativeTable(bucket)
        self.words = torch.full((len(bucket.entries), step.WORDS.value), -1, device="cpu")
        self._send_words()
        self.maps = []  # what launches read besides
        self.chunks = {streams: self._map(sizes, step.BLOCK) for streams, sizes in _sizes(bucket.entries).items()}
        if bucket.rule.sees_matrices:
            matrices = [entry.matrix for entry in bucket.entries]
            self.plan = plan.Plan(bucket.rule, [*map(_dtypes, bucket.entries)], matrices, bucket.dtype)
            self.groups = [(g, self._map(g.programs, 1), self._map(g.finishers, 1)) for g in self.plan.groups]
            self.places = self._send(self.plan.places)
            self.maps.append(self.places)

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
        for streams, chunks in self.chunks.items():
            partials = torch.empty(len(chunks), dtype=torch.float64, device=self.bucket.device)
            (grad, _), *_ = streams
            self._launch(self.step.sum_squares, (len(chunks),), chunks, partials, TYPE=self.step.triton_type(grad))
            total += partials.sum()
        self._keep_maps()
        return total

    def run(self, table, coefficient):
        scalars = table.to(self.bucket.device, non_blocking=True)
        if coefficient is not None:
            coefficient = coefficient.to(self.bucket.device, non_blocking=True)
        step = self._step_matrices if self.bucket.rule.sees_matrices else self._step_elements
        step(scalars, table.shape[-1], coefficient)
        self._keep_maps()

    def _step_elements(self, *arguments):
        for streams, chunks in self.chunks.items():
            constants = self.step.constants(self.bucket.rule, streams)
            self._launch(self.step.step, (len(chunks),), chunks, *arguments, **constants)

    def _step_matrices(self, *arguments):
        scratch = torch.empty(self.plan.size, dtype=self.bucket.dtype, device=self.bucket.device)
        memory = scratch, self.places
        for group, programs, finishers in self.groups:
            constants = {"TEXT": group.text, "S": group.sweep}
            self._launch(self.matrix.sweep, (len(programs),), programs, *arguments, *memory, **constants)
            self._launch(self.sums.finish, (len(finishers), group.sums), finishers, *memory, S=group.sweep)
        self.plan.copy_late(self.bucket.entries, scratch)

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

    def _keep_maps(self):
        """Keeps what launches read until they have run; they may be on other streams than the one that made it."""
        maps = (self.rows, *self.maps)
        if self._capturing():
            _CAPTURED.extend(maps)
        elif self.rows.is_cuda:
            for tensor in maps:
                tensor.record_stream(torch.cuda.current_stream(tensor.device))

    def _send_words(self):
        """Sends the addresses to the device, unless it has them already."""
        if self.table is None:
            self.words = torch.tensor([_words(entry) for entry in self.bucket.entries], device="cpu")
        elif not self.table.native.write(self.words.data_ptr()):
            return
        self.rows = self._send(self.words)  # a new tensor each time: a captured graph may still read the old one

    def _map(self, sizes, chunk):
        self.maps.append(self._send(chunk_map(sizes, chunk)))
        return self.maps[-1]

    def _send(self, tensor):
        if self._capturing():  # a replay copies from the same host memory again
            tensor = tensor.pin_memory()
            _CAPTURED.append(tensor)
        return tensor.to(self.bucket.device, non_blocking=True)

    def _capturing(self):
        return self.bucket.capturable and torch.cuda.is_current_stream_capturing()


def _words(entry):
    """One tensor's row, as ``csrc/row.h`` has it but for the codecs, which are compiled into the kernel."""
    streams, sides = [entry.grad, entry.param, *entry.states], [None, *entry.sides]
    addresses = [[t.data_ptr() if t is not None else 0 for t in tensors] for tensors in (streams, sides)]
    sizes = entry.param.numel(), entry.matrix.rows, entry.matrix.cols
    padded = [address for part in addresses for address in (*part, *[0] * (MAX_STATES + 2 - len(part)))]
    return [*padded, *sizes, 0, entry.seed << 32 | entry.row]


def _dtypes(entry):
    return tuple(t.dtype for t in (entry.grad, entry.param, *entry.states))


def _streams(entry):
    """The dtypes and codecs of gradient, parameter and states."""
    return tuple(zip(_dtypes(entry), (None, *entry.codecs), strict=True))


def _sizes(entries):
    """For tensors that are stored alike: their sizes, others' as 0."""
    return {
        group: [entry.param.numel() if _streams(entry) == group else 0 for entry in entries]
        for group in dict.fromkeys(map(_streams, entries))
    }
