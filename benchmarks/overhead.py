"""Python overhead next to PyTorch eager: `python benchmarks/overhead.py`.

A chain of ten operations on ten elements, forward and backward; building an MLP of 32, 64 and 10 units, and stepping it on 32 rows with
SGD and with Adam. Both sides run interleaved in one process on one thread, in that thread's own time, which others on the machine
disturb least; a figure is the ratio of the medians. The results are compared before anything is timed.
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


def mlp(lib, optimizer):
    """(one training step, building the network anew) of the same MLP in either library."""
    rng = np.random.default_rng(0)
    x, y = lib.tensor(rng.standard_normal((32, 32)).astype(np.float32)), lib.tensor(rng.integers(0, 10, 32))

    def build():
        return lib.nn.Sequential(lib.nn.Linear(32, 64), lib.nn.ReLU(), lib.nn.Linear(64, 10))

    model, loss_of = build(), lib.nn.CrossEntropyLoss()
    with lib.no_grad():
        for p in model.parameters():
            p.copy_(lib.tensor((0.1 * rng.standard_normal(tuple(p.shape))).astype(np.float32)))
    opt = getattr(lib.optim, optimizer)(model.parameters(), lr=1e-3)

    def step():
        opt.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return step, build


def microseconds(step, count=200):
    """Time of one step, averaged over a short burst."""
    start = time.thread_time()
    for _ in range(count):
        step()
    return (time.thread_time() - start) / count * 1e6


def interleaved(ours, theirs, rounds, count):
    """{name: median microseconds} of two functions, the second of which may be None."""
    samples = {"tensorgrad": [], "torch": []}
    for _ in range(rounds):
        samples["tensorgrad"].append(microseconds(ours, count))
        if theirs is not None:
            samples["torch"].append(microseconds(theirs, count))
    return {name: statistics.median(s) for name, s in samples.items() if s}


def measure_mlp(rounds=60):
    """Medians of a step and of building, in microseconds, and PyTorch's over ours."""
    result = {}
    for optimizer in ("SGD", "Adam"):
        step, build = mlp(tg, optimizer)
        step_torch, build_torch = mlp(torch, optimizer) if torch is not None else (None, None)
        if torch is not None:
            assert all(abs(float(step().detach()) - float(step_torch().detach())) < 1e-5 for _ in range(20))
        pairs = [(f"{optimizer} step", step, step_torch), ("build", build, build_torch)]
        for what, ours, theirs in pairs if "build" not in result else pairs[:1]:
            result[what] = found = interleaved(ours, theirs, rounds, 20)
            if theirs is not None:
                found["torch_over_tensorgrad"] = found["torch"] / found["tensorgrad"]
    return result


def measure(rounds=60):
    """Medians of interleaved bursts, in microseconds per operation of the chain (forward and backward)."""
    ours, theirs = step_of(tg), None
    if torch is not None:
        torch.set_num_threads(1)
        theirs = step_of(torch)
        want = theirs().numpy()
        assert np.linalg.norm(ours().numpy() - want) <= 1e-5 * np.linalg.norm(want)
    medians = interleaved(ours, theirs, rounds, 200)
    result = {f"{name}_us_per_op": m / 10 for name, m in medians.items()}
    if theirs is not None:
        result["torch_over_tensorgrad"] = result["torch_us_per_op"] / result["tensorgrad_us_per_op"]
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args().rounds
    print(json.dumps({"chain": measure(asked), "mlp": measure_mlp(asked)}, indent=1))
