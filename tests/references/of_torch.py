"""torch's own classes, where they need help to be compared with."""

import torch


class TorchAdafactor(torch.optim.Adafactor):
    """torch's own, which cannot step empty tensors."""

    def __init__(self, params, **options):
        super().__init__([p for p in params if p.numel()], **options)


class ScalarsInFloat64:
    """Mixed into a class of torch's that keeps scalars as state: here not rounded to float32 for float64 weights."""

    def step(self):
        torch.set_default_dtype(torch.float64)
        try:
            super().step()
        finally:
            torch.set_default_dtype(torch.float32)


class TorchNAdam(ScalarsInFloat64, torch.optim.NAdam):
    pass


class TorchASGD(ScalarsInFloat64, torch.optim.ASGD):
    pass


class Clipped:
    """Mixed into an optimizer: torch's clipping before its step; it changes the gradients, ours does not."""

    def __init__(self, params, max_grad_norm=1.0, **options):
        super().__init__(params, **options)
        self.max_grad_norm = max_grad_norm

    def step(self):
        params = [p for group in self.param_groups for p in group["params"]]
        saved = [p.grad.clone() for p in params]
        torch.nn.utils.clip_grad_norm_(params, self.max_grad_norm)
        super().step()
        for p, g in zip(params, saved, strict=True):
            p.grad.copy_(g)


class ClippedAdamW(Clipped, torch.optim.AdamW):
    pass
