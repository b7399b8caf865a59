"""The C++ engine: one parallel loop over all tensors of a bucket, with the widest SIMD that the CPU has."""

import torch

from ..telemetry import Telemetry
from . import compiler, native
from .engine import Engine


class Cpu(Engine):
    def __init__(self, bucket):
        super().__init__(bucket)
        self.table = native.NativeTable(bucket)
        self.fp64 = bucket.dtype == torch.float64
        self.kernel = compiler.kernel_name(bucket.rule, bucket.dtype)

    @staticmethod
    def unavailable(device):
        if native.missing:
            return native.missing
        return None if device is None or device.type == "cpu" else "it runs on CPU tensors only"

    @staticmethod
    def reads(rule, codecs):
        return True

    @staticmethod
    def refusal(rule, dtype):
        return compiler.refusal(rule, dtype)

    def refresh(self):
        return self.table.refresh()

    def sum_squares(self):
        total = native._C.cpu_sum_squares(self.table.native, self.fp64, torch.get_num_threads())
        return torch.tensor(total, dtype=torch.float64, device="cpu")

    def run(self, table, coefficient):
        self._step(table, coefficient, 0)

    def observe(self, table, coefficient):
        seen = torch.zeros(len(self.bucket.entries), len(Telemetry._fields), dtype=torch.float64, device="cpu")
        self._step(table, coefficient, seen.data_ptr())
        return seen

    def _step(self, table, coefficient, seen):
        native._C.cpu_step(
            self.table.native,
            self.kernel,
            self.fp64,
            table.data_ptr(),
            table.shape[-1],
            1.0 if coefficient is None else float(coefficient),
            torch.get_num_threads(),
            seen,
        )

    def advance(self):
        self.table.native.advance()
