"""The CUDA engine: a bucket's tensors together in every launch, on the current stream, never waiting for the GPU."""

import torch

from .. import emit
from . import native
from .engine import Engine

_CAPTURED = []  # maps that CUDA graphs read, perhaps after the engine that made them is gone


class Cuda(Engine):
    def __init__(self, bucket):
        super().__init__(bucket)
        self.table = native.NativeTable(bucket)
        self.fp64 = bucket.dtype == torch.float64
        self.kernel = emit.kernel_name(bucket.rule)
        self.coded = any(any(entry.codecs) for entry in bucket.entries)
        self.host_rows = torch.zeros(len(bucket.entries), native._C.cuda.ROW_WORDS, dtype=torch.int64, device="cpu")
        self.device_rows = None
        sizes = [entry.param.numel() for entry in bucket.entries]
        self.chunks = chunk_map(sizes, native._C.cuda.CHUNK).to(bucket.device)
        self.maps = [self.chunks]
        if bucket.rule.sees_matrices:
            self._schedule()

    @staticmethod
    def unavailable(device):
        if native.missing:
            return native.missing
        if not hasattr(native._C, "cuda"):
            return "fusedopt was compiled without CUDA; put nvcc (12.1 or newer) on PATH and install it again"
        if device is not None and device.type != "cuda":
            return "it runs on CUDA tensors only"
        return native._C.cuda.unavailable((device and device.index) or 0) or None

    @staticmethod
    def refusal(rule, dtype):
        return None if emit.kernel_name(rule) in native.rules() else "it is not compiled into the CUDA engine"

    def refresh(self):
        return self.table.refresh()

    def sum_squares(self):
        device = self.bucket.device
        slots = torch.empty(1 + len(self.chunks), dtype=torch.float64, device=device)  # the sum, then its partial sums
        with torch.cuda.device(device):
            rows = self._rows()
            native._C.cuda.sum_squares(
                self.fp64, self._work(rows), slots[1:].data_ptr(), slots.data_ptr(), self._place()
            )
        return slots[0]

    def run(self, table, coefficient):
        device = self.bucket.device
        with torch.cuda.device(device):
            rows = self._rows()
            table = table if table.device == device else self._upload(table)
            coefficient = None if coefficient is None else coefficient.to(device)
            scalars = native._C.cuda.ScalarTable(
                table.data_ptr(), table.shape[1], 0 if coefficient is None else coefficient.data_ptr()
            )
            if self.bucket.rule.sees_matrices:
                self._step_matrices(rows, scalars)
            else:
                native._C.cuda.step(self.kernel, self.fp64, self.coded, self._work(rows), scalars, self._place())

    def advance(self):
        if self.bucket.capturable:
            super().advance()
        else:
            self.table.native.advance()

    def _schedule(self):
        """Works out the launches from the tensors' shapes, and sends what they read of it to the GPU."""
        self.table.native.write(self.host_rows.data_ptr())
        rows = self.host_rows
        self.schedule = native._C.cuda.Schedule(self.kernel, self.fp64, rows.data_ptr(), len(rows))
        words = torch.empty(len(self.schedule), dtype=torch.int64, device="cpu")
        self.schedule.write(words.data_ptr())
        self.words = words.to(self.bucket.device)
        self.maps.append(self.words)

    def _step_matrices(self, rows, scalars):
        scratch = torch.empty(self.schedule.scratch, dtype=self.bucket.dtype, device=self.bucket.device)
        work = native._C.cuda.MatrixWork(rows.data_ptr(), self.words.data_ptr(), scratch.data_ptr())
        native._C.cuda.step_matrices(self.kernel, self.fp64, self.schedule, work, scalars, self._place())

    def _rows(self):
        """The rows on the GPU, sent there when they changed. A graph under capture gets its own copy to replay from."""
        changed = self.table.native.write(self.host_rows.data_ptr())
        if torch.cuda.is_current_stream_capturing():
            _CAPTURED.extend(self.maps)
            self.device_rows = None
            return self._upload(self.host_rows)
        if changed or self.device_rows is None:
            self.device_rows = self._upload(self.host_rows)
        for tensor in (self.device_rows, *self.maps):  # steps may run on other streams than the one that made these
            tensor.record_stream(torch.cuda.current_stream(self.bucket.device))
        return self.device_rows

    def _upload(self, tensor):
        copy = torch.empty_like(tensor, device=self.bucket.device)
        native._C.cuda.upload(tensor.data_ptr(), tensor.numel(), copy.data_ptr(), self._place())
        return copy

    def _work(self, rows):
        return native._C.cuda.Work(rows.data_ptr(), self.chunks.data_ptr(), len(self.chunks))

    def _place(self):
        device = self.bucket.device
        return native._C.cuda.Place(device.index, torch.cuda.current_stream(device).cuda_stream)


def chunk_map(sizes, chunk):
    """Pairs (row, index) that cover tensors of these sizes with chunks of so many elements, as int32."""
    counts = torch.tensor([-(-size // chunk) for size in sizes], dtype=torch.int64, device="cpu")
    rows = torch.arange(len(sizes), device="cpu").repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    return torch.stack([rows, torch.arange(len(rows), device="cpu") - first[rows]], 1).int()
