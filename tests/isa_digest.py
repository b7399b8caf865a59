"""Prints a digest of every case's result, for test_isa.py to compare across instruction sets."""

import hashlib

import torch
from codec_cases import CODED
from references import CASES
from test_rules import DTYPES, parameters, train

import fusedopt

ARITHMETIC = [DTYPES["fp32"], DTYPES["fp64"]]  # 16 bits are converted alike for all rules


def digest():
    sha = hashlib.sha256()
    plain = [(case, *dtypes) for case in CASES for dtypes in (DTYPES.values() if case is CASES[0] else ARITHMETIC)]
    coded = [(case, dtype, dtype) for case in CODED for dtype in (torch.float32, torch.bfloat16)]
    for case, weight, grad in plain + coded:
        params = parameters(weight)
        with fusedopt.use_backend("cpu"):
            values, states = train(case.build(params), params, grad_dtype=grad)
        for tensor in values + states:
            sha.update(tensor.flatten().double().numpy().tobytes())
    return sha.hexdigest()


if __name__ == "__main__":
    print(digest())
