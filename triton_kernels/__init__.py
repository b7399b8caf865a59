"""Triton kernels: a generic step over many tensors, its form for rules that see matrices, and sums of squares."""
