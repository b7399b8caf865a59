"""Triton kernels: one generic step over many tensors, and the sum of squares for clipping."""
