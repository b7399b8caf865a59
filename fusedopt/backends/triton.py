"""The Triton engine: one launch for every combination of dtypes in a bucket. Runs the rules that users define, too."""

import torch

from . import native
from .cuda import chunk_map
from .engine import Engine

_CAPTURED = []  # what CUDA graphs read at every replay, perhaps after the engine that made it is gone


class Triton(Engine):
    def __init__(self, bucket):
        from ..triton_kernels import step  # pyright: ignore[reportMissingImports]

        super().__init__(bucket)
        self.kernels = step
        self.table = None if native.missing else native.NativeTable(bucket)
        self.words = torch.full((len(bucket.entries), 10), -1, device="cpu")
        self._send_words()
        self.launches = [
            (step.constants(bucket.rule, dtypes), self._send(chunk_map(sizes, step.BLOCK)))
            for dtypes, sizes in _sizes(bucket.entries).items()
        ]

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
        for constants, chunks in self.launches:
            partials = torch.empty(len(chunks), dtype=torch.float64, device=self.bucket.device)
            self._launch(self.kernels.sum_squares, chunks, partials, TYPE=constants["TYPES"][0])
            total += partials.sum()
        return total

    def run(self, table, coefficient):
        scalars = table.to(self.bucket.device, non_blocking=True)
        if coefficient is not None:
            coefficient = coefficient.to(self.bucket.device, non_blocking=True)
        for constants, chunks in self.launches:
            self._launch(self.kernels.step, chunks, scalars, table.shape[-1], coefficient, **constants)

    def advance(self):
        if self.table is None or self.bucket.capturable:
            super().advance()
        else:
            self.table.native.advance()

    def _launch(self, kernel, chunks, *arguments, **constants):
        if len(chunks) == 0:
            return
        with torch.cuda.device_of(chunks):
            kernel[len(chunks),](self.rows, chunks, *arguments, **constants, **self.kernels.OPTIONS)
        if self._capturing():
            _CAPTURED.extend((self.rows, chunks))
        elif chunks.is_cuda:  # steps may run on other streams than the one that made these
            for tensor in (self.rows, chunks):
                tensor.record_stream(torch.cuda.current_stream(chunks.device))

    def _send_words(self):
        """Sends the addresses to the device, unless it has them already."""
        if self.table is None:
            self.words = torch.tensor([_words(entry) for entry in self.bucket.entries], device="cpu")
        elif not self.table.native.write(self.words.data_ptr()):
            return
        self.rows = self._send(self.words)  # a new tensor each time: a captured graph may still read the old one

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
    return [*addresses, *[0] * (8 - len(addresses)), entry.param.numel(), entry.row]


def _sizes(entries):
    """For every combination of dtypes, those of gradient, parameter and states: the tensors' sizes, others' as 0."""
    dtypes = [tuple(t.dtype for t in (entry.grad, entry.param, *entry.states)) for entry in entries]
    return {
        group: [entry.param.numel() if own == group else 0 for own, entry in zip(dtypes, entries, strict=True)]
        for group in dict.fromkeys(dtypes)
    }
