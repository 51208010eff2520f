"""Time of each matmul rung under the emulator, on one core: `python benchmarks/matmul_ladder.py [RUNG ...] [--size 128]`.

The times say how fast the emulator is, not how fast a GPU would be. A rung's result is checked before its time is shown.
"""
from __future__ import annotations

import argparse
import time

import ml_dtypes
import numpy as np

from tensorgrad import dispatch
from tensorgrad.backends import emu


def main() -> None:
    """Print a line per rung."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rungs", nargs="*", help="e.g. v02_shared; all if none is given")
    parser.add_argument("--size", type=int, default=128, help="M = N = K")
    options = parser.parse_args()
    emu.configure(threads=1)
    n = options.size
    for path, kernel in sorted(dispatch.kernels_of("emu")["matmul"].items()):
        if kernel.family != "cuda" or (options.rungs and kernel.rung not in options.rungs):
            continue
        dtype = np.float32 if "float32" in kernel.dtypes else ml_dtypes.bfloat16
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((n, n)).astype(dtype), rng.standard_normal((n, n)).astype(dtype)
        out = emu.xp.empty((n, n), dtype)
        best = float("inf")
        for _ in range(max(3, 20_000_000 // n**3)):
            start = time.process_time()
            kernel.call(out, a, b)
            best = min(best, time.process_time() - start)
        want = a.astype(np.float64) @ b.astype(np.float64)
        error = np.linalg.norm(out - want) / np.linalg.norm(want)
        print(f"{path:28} {np.dtype(dtype).name:9} {n:5}^3 {best * 1e3:9.2f} ms" if error < 1e-2 else f"{path:28} WRONG: error {error:.2g}")


if __name__ == "__main__":
    main()
