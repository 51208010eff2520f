"""Time of each rung of an op under the emulator, on one core: `python benchmarks/ladder.py conv2d [RUNG ...]`, forward and backward.

The times say how fast the emulator is, not how fast a GPU would be. A rung's result is checked before its time is shown.
"""
from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.backends import emu
from tensorgrad.errors import NoKernel

CALLS: dict[str, tuple] = {  # shapes of the tensors, other arguments
    "attention": ([(1, 2, 128, 64)] * 3, (None, True, 0.125)),
    "conv2d": ([(2, 32, 28, 28), (64, 32, 3, 3)], (None, 1, 1)),
    "max_pool2d": ([(2, 32, 28, 28)], (3, 2, 1)),
    "avg_pool2d": ([(2, 32, 28, 28)], (3, 2, 1)),
}


def best_of(times: int, op: Any, arrays: list[np.ndarray], rest: tuple, name: str, last: bool) -> tuple[list[float], tg.Tensor] | None:
    """The least seconds forward and backward, and a result; None where the rung is for other calls. `last`: channels last."""

    def image(a: np.ndarray) -> tg.Tensor:
        t = tg.tensor(a.transpose(0, 2, 3, 1) if last else a, device="emu", dtype=getattr(tg, name))
        return t.permute(0, 3, 1, 2) if last else t

    best = [float("inf")] * 2
    for _ in range(times):
        leaves = [t.requires_grad_() for t in map(image, arrays)]
        try:
            clock = [time.process_time()]
            y = op.call(*leaves, *rest)
            clock.append(time.process_time())
            y.backward(image(np.ones(y.shape, np.float32)))
            clock.append(time.process_time())
        except NoKernel:
            return None
        best = [min(b, after - before) for b, before, after in zip(best, clock, clock[1:], strict=False)]
    return best, y


def main() -> None:
    """Print a line per rung."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("op", choices=sorted(CALLS))
    parser.add_argument("rungs", nargs="*", help="e.g. v00_direct; all if none is given")
    options = parser.parse_args()
    emu.configure(threads=1)
    op, (shapes, rest) = dispatch._ops[options.op], CALLS[options.op]
    arrays = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(shapes)]
    want = op.reference(*(a.astype(np.float64) for a in arrays), *rest)
    ladder = "resample" if options.op == "avg_pool2d" else options.op  # what an average is computed by
    for path, kernel in sorted(dispatch.kernels_of("emu")[ladder].items()):
        if kernel.family != "cuda" or (options.rungs and kernel.rung not in options.rungs):
            continue
        name = "float32" if "float32" in kernel.dtypes else "bfloat16"
        with tg.kernels.use(ladder, path):
            measured = best_of(3, op, arrays, rest, name, last=False) or best_of(3, op, arrays, rest, name, last=True)
        if measured is None:
            print(f"{path:28} is not made for this call")
            continue
        best, y = measured
        error = np.linalg.norm(y.numpy(force=True).astype(np.float64) - want) / np.linalg.norm(want)
        times_text = f"forward {best[0] * 1e3:9.2f} ms, backward {best[1] * 1e3:9.2f} ms"
        print(f"{path:28} {name:9} {times_text}" if error < 1e-2 else f"{path:28} WRONG: error {error:.2g}")


if __name__ == "__main__":
    main()
