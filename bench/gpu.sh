#!/usr/bin/env bash
# What a machine with a GPU should do, in one command and under eight minutes: build, test, check memory, measure.
# It uses the Python, torch and nvcc that are there, installs nothing from the network, and writes to $OUT if set.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${OUT:-bench/results}
mkdir -p "$out"

CMAKE_ARGS=${CMAKE_ARGS:--DFUSEDOPT_CUDA_ARCHITECTURES=native} \
  "$python" -m pip install --quiet --no-build-isolation --no-deps --force-reinstall .
"$python" -P -m fusedopt info

# -P keeps the sources, which have no compiled code, off the import path.
status=0
"$python" -P -m pytest -q -m gpu tests 2>&1 | tee "$out/gpu_tests.txt" | tail -n 30 || status=1
if command -v compute-sanitizer >/dev/null; then
  compute-sanitizer --tool memcheck --error-exitcode 9 \
    "$python" -P -m pytest -q -m gpu tests/test_gpu.py -k odd_sizes 2>&1 | tee "$out/sanitizer.txt" | tail -n 5 || status=1
fi
for dtype in fp32 bf16; do
  "$python" -P -m fusedopt bench --device cuda --dtype "$dtype" --models gpt2 tiny --json "$out/gpu_$dtype.json"
done
"$python" -P -m fusedopt bench --device cuda --memory --models gpt2 --json "$out/gpu_memory.json"
exit "$status"
