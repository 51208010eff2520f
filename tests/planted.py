"""Bugs planted in copies of kernels: how they are built, called and judged. The bugs themselves are in tests/test_mutations*.py.

A mutant is compiled with UBSan's traps and the lab's recorder, and run on the calls of its rung in three thread orders, with
asynchronous work late and at once. It counts as caught when a result is wrong (or NaN), the launch fails, or a race is found; `pytest -s`
lists what caught each. The rungs themselves must pass the same.
"""
from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import re
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import building
import ml_dtypes
import numpy as np
import pytest

LADDERS = building.ROOT / "csrc/cuda"
UBSAN = ["-fsanitize=bounds,alignment,shift,signed-integer-overflow,integer-divide-by-zero,null", "-fsanitize-undefined-trap-on-error"]
ORDERS = ((0, False), (1, True), (2, False))  # seed of the thread order, whether asynchronous work happens at once
DTYPES = [np.dtype(t) for t in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.int32, np.int16, np.int8, np.uint8,
                                np.bool_)]  # as tg::DType counts them

pytestmark = [pytest.mark.slow, building.needs_gcc]


@dataclass
class Made:
    """An array a kernel is to write, an output or a workspace: full of NaN before each call."""

    shape: tuple[int, ...]
    dtype: object
    channels_last: bool = False

    def array(self):
        """Integers cannot be NaN: they are the largest there are."""
        value = np.iinfo(self.dtype).max if np.issubdtype(self.dtype, np.integer) else np.nan
        if not self.channels_last:
            return np.full(self.shape, value, self.dtype)
        n, c, h, w = self.shape
        return np.full((n, h, w, c), value, self.dtype).transpose(0, 3, 1, 2)


@dataclass
class Preset:
    """An array a kernel is to change: what it holds before each call."""

    values: np.ndarray

    def array(self):
        return np.array(self.values, order="C")


@dataclass
class Call:
    """A call of a kernel. The first of the arrays it writes should be `want`, each within its bound on the norm of the error, or None."""

    label: str
    op: str
    rung: str
    arguments: list  # arrays, `Made`, `Preset`, lists of those, None, ints and floats
    want: list
    bounds: list
    orders: tuple = ORDERS
    recorded: bool = True  # look for races here: for those any order does


class Argument(ctypes.Structure):
    """What tests/planted.cpp takes for an argument."""

    _fields_ = [("kind", ctypes.c_int), ("dtype", ctypes.c_int), ("ndim", ctypes.c_int), ("data", ctypes.c_void_p),
                ("shape", ctypes.c_int64 * 4), ("strides", ctypes.c_int64 * 4), ("integer", ctypes.c_int64), ("real", ctypes.c_double)]

    @classmethod
    def of(cls, x):
        if x is None:
            return cls(0)
        if isinstance(x, list):
            items = (cls * len(x))(*map(cls.of, x))
            packed = cls(4, data=ctypes.addressof(items), integer=len(x))
            packed.items = items  # as long as this lives
            return packed
        if isinstance(x, np.ndarray):
            four = ctypes.c_int64 * 4
            return cls(1, DTYPES.index(x.dtype), x.ndim, x.ctypes.data, four(*x.shape), four(*(s // x.itemsize for s in x.strides)))
        return cls(3, real=x) if isinstance(x, float) else cls(2, integer=x)


def at_home(text, folder, beside=()):
    """A source text whose headers are found from anywhere, but for those that will lie `beside` it."""
    return re.sub(r'#include "([^"]+)"', lambda m: m[0] if m[1] in beside else f'#include "{(folder / m[1]).resolve()}"', text)


def texts_of(rung, *bug):
    """The text of a rung, "family/rung", and, where one of them is to be mutated, "family/rung/header", of the headers beside it."""
    family, rung, *header = rung.split("/")
    folder = LADDERS / family
    beside = [path.name for path in folder.glob("*.h")] if header else []
    found = {name: at_home((folder / name).read_text(), folder, beside) for name in (f"{rung}.cu", *beside)}
    file = f"{header[0]}.h" if header else f"{rung}.cu"
    return found | {file: mutated(found[file], *bug)}


def mutated(text, *bug):
    """The text with something else in the place of an occurrence of a piece of it: (piece, something else, which one)."""
    if not bug:
        return text
    old, new, occurrence = bug
    pieces = text.split(old)
    assert len(pieces) > occurrence, f"the source no longer holds {old!r} {occurrence} times: choose another mutation"
    return old.join(pieces[:occurrence]) + new + old.join(pieces[occurrence:])


def builder(folder, emulator):
    """A function that compiles the texts of a kernel and its headers, by file name, into a library with the emulator; its path."""
    harness = building.compiled(folder, [building.ROOT / "tests/planted.cpp"])

    def build(files):
        home = Path(tempfile.mkdtemp(dir=folder))
        for file, text in files.items():
            (home / file).write_text(text)
        building.link(home / "kernel.so", [*building.compiled(home, home.glob("*.cu"), UBSAN + building.RECORDED), *harness, *emulator])
        return home / "kernel.so"

    return build


def run(lib, call, seed, eager, record=False):
    """(the error's message, the arrays written)"""
    written = []

    def given(a):
        if isinstance(a, list):
            return [given(x) for x in a]
        if isinstance(a, (Made, Preset)):
            a = a.array()
            written.append(a)
        return a

    arguments = [given(a) for a in call.arguments]
    packed = [Argument.of(a) for a in arguments]
    message = lib.call(call.op.encode(), f"cuda/{call.rung}".encode(), (Argument * len(packed))(*packed), seed, eager, record).decode()
    return message, written


def distance(got, want):
    """|got - want| in the Euclidean norm; what is not finite must agree exactly."""
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return np.inf
    return np.linalg.norm(got[finite] - want[finite])


def fault(lib, calls):
    """What is wrong with the results, or None."""
    for call in calls:
        for seed, eager in call.orders:
            message, written = run(lib, call, seed, eager)
            where = f"{call.label}, seed {seed}, {'eager' if eager else 'lazy'}"
            if message:
                return f"{message} [{where}]"
            for got, want, bound in zip(written, call.want, call.bounds, strict=False):  # a workspace may follow
                if want is None:
                    continue
                error = distance(got.astype(np.float64), want)
                if not error <= bound:
                    return f"{'NaN' if np.isnan(error) else f'error {error:.2g}, not {bound:.2g}'} [{where}]"
    return None


def race(lib, calls):
    """The first race, or None."""
    for call in calls:
        if not call.recorded:
            continue
        run(lib, call, *call.orders[0], True)
        for launch in json.loads(lib.races().decode())["launches"]:
            for found in launch["races"]:
                first, second = (side and f"{Path(side['file']).name}:{side['line']}" for side in (found["first"], found["second"]))
                return f"{found['kind']} at {first or 'no line'} and {second}"
    return None


def examined(library, calls):
    """[fault, race], found in a process of its own: what a planted bug breaks stays there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()  # a trap is an answer
            lib = ctypes.CDLL(str(library))
            lib.call.restype = lib.races.restype = ctypes.c_char_p
            os.write(writer, json.dumps([fault(lib, calls), race(lib, calls)]).encode())
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert answer or os.WIFSIGNALED(status), "the kernel was not examined: see the exception above"
    return json.loads(answer) if answer else [f"the process was ended by signal {os.WTERMSIG(status)}", None]


def missed(build, mutants, texts, calls):
    """The mutants nothing shows. `texts(rung, *bug)` gives the source files by name, `calls(rung)` the calls."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        libraries = list(pool.map(lambda m: build(texts(m[0], *m[2:])), mutants))
    calls_of = {rung: list(calls(rung)) for rung in {m[0] for m in mutants}}
    out = []
    for library, (rung, what, *_) in zip(libraries, mutants, strict=True):
        wrong, raced = examined(library, calls_of[rung])
        print(f"{rung:38} {what:45} {wrong or '-'} | race: {raced or '-'}")
        if wrong is None and raced is None:
            out.append(f"{rung}: {what}")
    return out
