"""Python overhead per operation next to PyTorch eager: `python benchmarks/overhead.py`.

A chain of ten operations on ten elements, forward and backward. Both sides run interleaved in one process on one thread; the
figure is the ratio of the medians. The results are compared before anything is timed.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

import tensorgrad as tg

try:
    import torch
except ImportError:  # the peer is optional; without it only our own time is shown
    torch = None


def chain(x, w, b):
    """Ten operations: binary, scalar and unary ones, then a sum."""
    y = x * w
    y = y + b
    y = y.tanh()
    y = y * 2.0
    y = y.exp()
    y = y - w
    y = y.sigmoid()
    y = y / b
    y = y.relu()
    return y.sum()


def leaves(lib):
    """The same three leaves in either library."""
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.5, 1.5, 10).astype(np.float32) for _ in range(3)]
    return [lib.tensor(a, requires_grad=True) for a in arrays]


def step_of(lib):
    """One forward and backward, gradients made anew."""
    x, w, b = leaves(lib)

    def step():
        x.grad = w.grad = b.grad = None
        chain(x, w, b).backward()
        return x.grad

    return step


def microseconds(step, count=200):
    """Time of one step, averaged over a short burst."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count * 1e6


def measure(rounds=60):
    """Medians of interleaved bursts, in microseconds per operation of the chain (forward and backward)."""
    ours = step_of(tg)
    samples = {"tensorgrad": []}
    theirs = None
    if torch is not None:
        torch.set_num_threads(1)
        theirs = step_of(torch)
        samples["torch"] = []
        want = theirs().numpy()
        assert np.linalg.norm(ours().numpy() - want) <= 1e-5 * np.linalg.norm(want)
    for _ in range(rounds):
        samples["tensorgrad"].append(microseconds(ours))
        if theirs is not None:
            samples["torch"].append(microseconds(theirs))
    result = {f"{name}_us_per_op": statistics.median(s) / 10 for name, s in samples.items()}
    if theirs is not None:
        result["torch_over_tensorgrad"] = result["torch_us_per_op"] / result["tensorgrad_us_per_op"]
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    print(json.dumps(measure(parser.parse_args().rounds), indent=1))
