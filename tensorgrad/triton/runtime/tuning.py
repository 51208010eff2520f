"""Measuring the configurations that a rung declares: `tensorgrad tune`. Nothing needs it, every rung has a default.

A rung says with `space` what may be tried and on what. Each candidate must give the default's result before it is timed; one that spills
registers, needs more shared memory than there is, or is wrong is passed over by name. What came of a candidate is written at once, so
that a run which was interrupted goes on where it was.
"""
from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ... import backends, dtypes
from .. import INTERPRETED, tuned
from ..tuned import Configuration
from . import RUNGS, Space, forget_plans

BOUND = {"float32": 1e-3, "float16": 2e-3, "bfloat16": 1.6e-2}  # relative difference to the default's result; float32 here is tf32
UNFIT = re.compile(r"the kernel needs \d+ bytes|CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES|PassManager::run failed")  # the launcher, Triton
CACHES = 256 << 20  # bytes: several times an L2 cache


class Unfit(Exception):
    """A candidate that is passed over, and why."""


@dataclass
class Trial:
    """While it lasts, a rung is launched with this configuration, or with its default, which is written down."""

    rung: str
    configuration: Configuration | None = None
    asked: dict[str, Configuration] = field(default_factory=dict)  # the defaults by key

    def __call__(self, key: str, default: Configuration) -> Configuration:
        if not key.startswith(self.rung + " "):
            return default
        self.asked[key] = default
        return self.configuration or default


@contextmanager
def trying(rung: str, configuration: Configuration | None = None) -> Iterator[Trial]:
    """Launches with a candidate; what was worked out for others is forgotten before and after."""
    tuned.trial = trial = Trial(rung, configuration)
    forget_plans()
    try:
        yield trial
    finally:
        tuned.trial = None
        forget_plans()


class Gpu:
    """Where candidates run: arrays there and back, seconds by the device's own events."""

    def __init__(self) -> None:
        self.backend = backends.load("cuda")
        self.cupy = self.backend.cupy
        self.others = self.cupy.empty(CACHES, np.uint8)

    def put(self, array: np.ndarray) -> Any:
        return self.backend.asarray(array)

    def get(self, array: Any) -> np.ndarray:
        found: np.ndarray = self.backend.to_numpy(array)
        return found

    def seconds(self, run: Callable[[], None], turns: int = 25) -> float:
        """The median of turns, each of which finds the caches full of something else."""
        times = []
        for _ in range(turns):
            start, stop = self.cupy.cuda.Event(), self.cupy.cuda.Event()
            self.others.fill(0)
            start.record()
            run()
            stop.record()
            stop.synchronize()
            times.append(self.cupy.cuda.get_elapsed_time(start, stop) / 1e3)
        return statistics.median(times)


@contextmanager
def spills_refused() -> Iterator[None]:
    """Machine code that keeps registers in memory ends in Unfit before it is launched."""
    if INTERPRETED:
        yield
        return
    from . import compiler

    def check(made: Any) -> None:
        _, local = compiler.resources(made.cubin)
        if local:
            raise Unfit(f"spills {local} bytes")

    compiler.WATCHERS.append(check)
    try:
        yield
    finally:
        compiler.WATCHERS.remove(check)


def kernel_of(rung: str) -> Callable[..., None]:
    """The function of a rung: "matmul v09_hopper"."""
    op, _, name = rung.partition(" ")
    return next(r[5] for r in RUNGS if r[:2] == (op, f"triton/{name}"))


def difference(got: np.ndarray, want: np.ndarray) -> float:
    """Relative, of all elements together; infinite or no number where an element is."""
    a, b = got.astype(np.float64), want.astype(np.float64)
    return float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(b)), 1e-300)


def tune(one: Space, dtype: str, shape: tuple[int, ...], machine: Any, path: Path, name: str) -> Iterator[tuple[int, int, str]]:
    """Try what has not been tried for this shape; after each candidate (how many are done, of how many, what came of it)."""
    run = kernel_of(one.rung)
    given = one.sample(dtypes.BY_NAME[dtype].np, *shape)
    results = given[:one.results]
    arguments = [machine.put(a) if isinstance(a, np.ndarray) else a for a in given]
    with trying(one.rung) as trial:
        run(*arguments)
        want = [machine.get(a) for a in arguments[:one.results]]
    if len(trial.asked) != 1:
        raise RuntimeError(f"{one.rung} cannot be tuned at {shape}: it asked for {len(trial.asked)} configurations, not for one")
    ((key, default),) = trial.asked.items()
    candidates = one.candidates(default)
    for done, candidate in enumerate(candidates, 1):
        tried, _ = tuned.read(path, name)  # anew each time: another process may write there too
        entries = tried.setdefault(key, [])
        said = next((e for e in entries if e["configuration"] == candidate), None)
        if said is None:
            for i, a in enumerate(results):
                arguments[i] = machine.put(np.full_like(a, np.nan))
            said = {"configuration": candidate, **attempt(one, run, arguments, want, candidate, machine, BOUND[dtype])}
            entries.append(said)
            tuned.write(path, name, tried)
        yield done, len(candidates), f"{key} {words(candidate)}: {outcome(said)}"


def attempt(one: Space, run: Callable[..., None], arguments: list[Any], want: list[np.ndarray], candidate: Configuration, machine: Any,
            bound: float) -> dict[str, Any]:
    """What comes of a candidate: its seconds, or why it is passed over."""
    try:
        with trying(one.rung, candidate), spills_refused():
            run(*arguments)
            far = [difference(machine.get(a), b) for a, b in zip(arguments, want, strict=False)]
            if not all(d <= bound for d in far):
                raise Unfit(f"wrong: differs from the default's result by {max(far):.1e} of it, more than {bound:.1e}")
            return {"seconds": float(machine.seconds(lambda: run(*arguments)))}
    except Unfit as e:
        return {"passed_over": str(e)}
    except RuntimeError as e:
        if not UNFIT.search(str(e)):
            raise  # after an error of another kind the GPU's context may be lost, and nothing said from then on would be true
        return {"passed_over": str(e).splitlines()[0]}


def words(configuration: Configuration) -> str:
    """BM=128 BN=256 ..."""
    return " ".join(f"{k}={v}" for k, v in configuration.items())


def outcome(entry: dict[str, Any]) -> str:
    """What came of a candidate, for people."""
    return f"{1e6 * entry['seconds']:.1f} us" if "seconds" in entry else f"passed over: {entry['passed_over']}"
