"""Values in the dynamic tree code of bitsandbytes and torchao (:class:`fusedopt.codecs.Dynamic`), row by row of 256."""

import torch

from ..codecs import BLOCK


def decode(codes, values, scales):
    """The float32 values of ``codes``, of their shape."""
    if scales.numel() != -(-codes.numel() // BLOCK):
        raise ValueError(f"{codes.numel()} codes have {scales.numel()} scales; expected one for every {BLOCK}")
    return (values[codes.flatten().int()] * scales.repeat_interleave(BLOCK)[: codes.numel()]).reshape(codes.shape)


def encode(x, values):
    """The nearest codes, and a scale for every 256; what is not zero gets the code next to zero at least.

    The least of the signed values is -0.993, so a block whose largest magnitude is negative gets a larger scale: the
    libraries themselves let it shrink by 0.7 %.
    """
    flat = x.float().flatten()
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).reshape(-1, BLOCK)
    scales = blocks.amax(1)
    if values[0] < 0:
        scales = torch.maximum(scales, blocks.amin(1) / values[0])
    y = blocks / scales.clamp(min=torch.finfo(torch.float32).tiny).unsqueeze(1)
    codes = torch.bucketize(y, (values[:-1] + values[1:]) / 2)
    zero = int((values == 0).nonzero())
    codes = torch.where(codes == zero, zero + y.sign().long(), codes)
    return codes.flatten()[: len(flat)].to(torch.uint8).reshape(x.shape), scales
