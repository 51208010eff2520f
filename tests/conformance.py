"""PyTorch's own sample inputs, run here: `python -m tests.conformance` writes the report `tests/conformance.md`.

`op_db`, the list PyTorch tests itself with, has calls for each of its operations. An entry is claimed when its name is found here: as a
function, in `nn.functional`, `linalg`, `special`, or as a method. A sample passes when shapes, dtypes, values and gradients are PyTorch's.
"""
from __future__ import annotations

import copy
import functools
import itertools
import os
import random
import sys
import types
import unittest
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import tensorgrad as tg

TOLERANCE = 1e-4  # of the largest value of a result, in float32: two orders of summation differ by less
FEW = 6  # samples of each entry in a run of the tests; the report has up to MANY
MANY = 60
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AttributeError, AssertionError)


@functools.cache
def op_db() -> list[Any]:
    """PyTorch's list. The module it is in wants `expecttest` for a class that has nothing to do with it."""
    if "expecttest" not in sys.modules:
        stub = types.ModuleType("expecttest")
        stub.TestCase = unittest.TestCase  # type: ignore[attr-defined]
        sys.modules["expecttest"] = stub
    from torch.testing._internal.common_methods_invocations import op_db

    return sorted(op_db, key=name_of)


def name_of(entry: Any) -> str:
    """`div[floor_rounding]`."""
    return entry.name + (f"[{entry.variant_test_name}]" if entry.variant_test_name else "")


def found(name: str) -> Any:
    """Our function of that name, or None."""
    place: Any = tg
    for part in name.split("."):
        place = getattr(place, part, None)
    if callable(place):
        return place
    return getattr(tg.Tensor, name, None) if "." not in name else None


def on_ours(function: Any, module: Any = tg) -> Any:
    """A function of PyTorch's tests, such as `lambda x: torch.sum(x.T)`, that means our module when it says `torch`.

    It does not seed the random numbers either, which `wrapper_set_seed` would.
    """
    if not isinstance(function, types.FunctionType) or not function.__module__.startswith("torch.testing"):
        return function
    names = {**function.__globals__, "torch": module, "wrapper_set_seed": lambda op, *args, **kwargs: op(*args, **kwargs)}
    return types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)


def claimed() -> list[Any]:
    """The entries that have a counterpart here and float32 samples."""
    return [e for e in op_db() if counterpart(e) and torch.float32 in e.dtypes]


def counterpart(entry: Any) -> bool:
    """Whether we have the function; PyTorch's tests know some methods with an underscore by names without one."""
    written_for_tests = on_ours(entry.op) is not entry.op
    return found(entry.name) is not None or (written_for_tests and hasattr(tg.Tensor, entry.name + "_"))


def ours_of(entry: Any) -> Any:
    """What to call for an entry."""
    function = on_ours(entry.op)
    return function if function is not entry.op else found(entry.name)


def theirs_of(entry: Any) -> Any:
    """PyTorch's function, seeded by `call` alone."""
    return on_ours(entry.op, torch)


class Skip(Exception):
    """A sample with something in it that is out of scope."""


class Converter:
    """PyTorch's arguments as ours; a tensor that occurs twice stays one."""

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[Any, tg.Tensor]] = {}

    def __call__(self, a: Any) -> Any:
        if isinstance(a, torch.Tensor):
            return self.tensor(a)
        if isinstance(a, torch.dtype):
            name = str(a).removeprefix("torch.")
            if not hasattr(tg, name):
                raise Skip(f"dtype {name}")
            return getattr(tg, name)
        if isinstance(a, torch.device):
            return tg.device(str(a).partition(":")[0])
        if isinstance(a, (torch.layout, torch.memory_format)):
            return getattr(tg, str(a).removeprefix("torch."))
        if getattr(a, "__module__", None) == "torch.nn.functional" or isinstance(a, types.BuiltinFunctionType):
            return found("nn.functional." + a.__name__) or found(a.__name__)
        if isinstance(a, complex):
            raise Skip("complex number")
        if isinstance(a, (list, tuple)):
            return type(a)(map(self, a)) if type(a) in (list, tuple) else tuple(map(self, a))
        if isinstance(a, dict):
            return {k: self(v) for k, v in a.items()}
        if isinstance(a, torch.nn.Module) or (on_ours(a) is a and callable(a) and not isinstance(a, type)):
            raise Skip("function of PyTorch's own")
        return on_ours(a)

    def tensor(self, a: torch.Tensor) -> tg.Tensor:
        if id(a) not in self.tensors:
            kind = str(a.dtype).removeprefix("torch.")
            if not hasattr(tg, kind):
                raise Skip(f"{kind} tensor")
            if a.device.type != "cpu":
                raise Skip(f"tensor on the device {a.device.type}")
            if a.layout is not torch.strided:
                raise Skip("sparse tensor")
            if a.ndim > 64:
                raise Skip("tensor of more than 64 dimensions, which NumPy does not have")
            plain = a.detach().clone()
            ours = tg.tensor(plain.float().numpy(), dtype=tg.bfloat16) if a.dtype is torch.bfloat16 else tg.from_numpy(plain.numpy())
            self.tensors[id(a)] = (a, ours.requires_grad_(a.requires_grad))
        return self.tensors[id(a)][1]


def tensors(result: Any) -> list[Any]:
    """The tensors in a result, however nested."""
    if isinstance(result, (torch.Tensor, tg.Tensor)):
        return [result]
    return [t for r in result for t in tensors(r)] if isinstance(result, (list, tuple)) else []


def as_numpy(t: Any) -> np.ndarray:
    """The values, floats in float64."""
    t = t.detach().clone()
    half = str(t.dtype).rpartition(".")[2] in ("bfloat16", "float16")
    return np.asarray((t.float() if half else t).numpy())


def differ(ours: Any, theirs: Any, values: bool = True) -> str | None:
    """How a tensor of ours differs from PyTorch's."""
    if tuple(ours.shape) != tuple(theirs.shape):
        return f"shape {tuple(ours.shape)}, PyTorch has {tuple(theirs.shape)}"
    if ours.dtype.name != str(theirs.dtype).removeprefix("torch."):
        return f"dtype {ours.dtype.name}, PyTorch has {str(theirs.dtype).removeprefix('torch.')}"
    if not values:
        return None
    a, b = as_numpy(ours).astype(np.float64), as_numpy(theirs).astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return "other infinities or NaN"
    scale = np.abs(b[finite]).max(initial=0.0)
    step = {"bfloat16": 100, "float16": 20}.get(ours.dtype.name, 1)
    if np.abs(a - b)[finite].max(initial=0.0) > step * TOLERANCE * max(scale, 1e-2):
        return f"values differ by {np.abs(a - b)[finite].max():.2g} where the largest is {scale:.2g}"
    return None


def call(function: Any, sample: Any, seed: int = 0) -> Any:
    """The function on a sample, its random numbers seeded."""
    torch.manual_seed(seed)
    tg.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(sample.input, *sample.args, **sample.kwargs)


def check(entry: Any, sample: Any) -> str | None:
    """Why a sample does not pass; None when it does."""
    convert = Converter()
    mine = copy.copy(sample)
    mine.input, mine.args, mine.kwargs = convert(sample.input), convert(sample.args), convert(sample.kwargs)
    process = sample.output_process_fn_grad
    leaves = [(a, b) for a, b in convert.tensors.values() if a.requires_grad]
    random_values = is_random(entry, sample)
    theirs = call(theirs_of(entry), sample)
    if any(t.dtype.is_complex or t.layout is not torch.strided for t in tensors(theirs)):
        raise Skip("complex or sparse result")
    try:
        ours = call(ours_of(entry), mine)
        processed = on_ours(process)(ours)
    except REFUSALS as e:
        return f"refused: {type(e).__name__}: {e}".splitlines()[0]
    theirs = process(theirs)
    if not tensors(theirs) and not random_values:
        return None if plain_equal(ours, theirs) else f"{ours!r}, PyTorch has {theirs!r}"
    a, b = tensors(processed), tensors(theirs)
    if len(a) != len(b):
        return f"{len(a)} results, PyTorch has {len(b)}"
    for x, y in zip(a, b, strict=True):
        why = differ(x, y, not random_values)
        if why:
            return why
    if random_values or not entry.supports_autograd or not leaves:
        return None
    return check_gradients(a, b, leaves)


def plain_equal(ours: Any, theirs: Any) -> bool:
    """Whether results that are no tensors agree."""
    if isinstance(theirs, (float, int)):
        return bool(np.isclose(ours, theirs, rtol=TOLERANCE, equal_nan=True))
    if isinstance(theirs, (tuple, list)):
        return tuple(ours) == tuple(theirs)
    return str(ours).replace("tensorgrad", "torch") == str(theirs)


def is_random(entry: Any, sample: Any) -> bool:
    """Whether another seed gives other values."""
    if entry.name.startswith(("empty", "new_empty")):
        return True
    try:
        first, second = (tensors(call(theirs_of(entry), copied(sample), seed)) for seed in (0, 1))
    except RuntimeError:  # a sample that reaches beyond its own elements into memory the copy has not
        return False
    return any(x.shape == y.shape and not torch.equal(x.nan_to_num(), y.nan_to_num()) for x, y in zip(first, second, strict=False)
               if not x.dtype.is_complex and x.layout is torch.strided)


def copied(sample: Any) -> Any:
    """A sample that may be overwritten."""
    new = copy.copy(sample)
    new.input, new.args, new.kwargs = (map_tensors(a) for a in (sample.input, sample.args, sample.kwargs))
    return new


def map_tensors(a: Any) -> Any:
    """The same with its tensors detached and cloned."""
    if isinstance(a, torch.Tensor):
        return a.detach().clone()
    if type(a) in (list, tuple):
        return type(a)(map(map_tensors, a))
    return {k: map_tensors(v) for k, v in a.items()} if isinstance(a, dict) else a


def check_gradients(ours: list, theirs: list, leaves: list) -> str | None:
    """How the gradients of the leaves differ, for the same random weights on all results."""
    rng = np.random.default_rng(0)
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if b.requires_grad]
    if [a.requires_grad for a in ours] != [b.requires_grad for b in theirs]:
        return "requires_grad of the result is not PyTorch's"
    if not pairs:
        return None
    weights = [rng.uniform(0.5, 1.5, tuple(b.shape)).astype(np.float32) for _, b in pairs]
    wanted = torch.autograd.grad([b for _, b in pairs], [a for a, _ in leaves],
                                 [torch.from_numpy(np.asarray(w)).to(b.dtype) for w, (_, b) in zip(weights, pairs, strict=True)],
                                 allow_unused=True)
    try:
        got = tg.autograd.grad([a for a, _ in pairs], [b for _, b in leaves],
                               [tg.tensor(w).to(a.dtype) for w, (a, _) in zip(weights, pairs, strict=True)], allow_unused=True)
    except REFUSALS as e:
        return f"gradient refused: {type(e).__name__}: {e}".splitlines()[0]
    for g, w in zip(got, wanted, strict=True):
        if g is None or w is None:
            zero = (g is None or not as_numpy(g).any()) and (w is None or not as_numpy(w).any())
            if zero:
                continue
            return "a gradient is None on one side only"
        why = differ(g, w)
        if why:
            return "gradient: " + why
    return None


@dataclass
class Tally:
    """What came of an entry's samples."""

    passed: int = 0
    failed: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)
    refused: int = 0
    accepted: list[str] = field(default_factory=list)  # wrong calls that were not refused

    @property
    def tried(self) -> int:
        return self.passed + sum(self.failed.values())


def samples_of(entry: Any, most: int) -> Iterator[Any]:
    """Up to `most` of an entry's samples, spread over all kinds of them."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    every = list(itertools.islice(entry.sample_inputs("cpu", torch.float32, requires_grad=entry.supports_autograd), 1000))
    yield from every[:: -(-len(every) // most)] if every else ()


def run(entry: Any, most: int = FEW, errors: bool = True) -> Tally:
    """Try an entry's samples, and its wrong calls."""
    tally = Tally()
    for sample in samples_of(entry, most):
        try:
            why = check(entry, sample)
        except Skip as e:
            tally.skipped[str(e)] += 1
            continue
        if why is None:
            tally.passed += 1
        else:
            tally.failed[why] += 1
    if errors and entry.error_inputs_func is not None:
        count_refusals(entry, tally)
    return tally


def count_refusals(entry: Any, tally: Tally) -> None:
    """Wrong calls of PyTorch's tests, which we should refuse too."""
    torch.manual_seed(0)
    for wrong in itertools.islice(entry.error_inputs("cpu"), 30):
        convert, mine = Converter(), copy.copy(wrong.sample_input)
        try:
            mine.input, mine.args, mine.kwargs = convert(mine.input), convert(mine.args), convert(mine.kwargs)
        except Skip:
            continue
        try:
            call(ours_of(entry), mine)
        except REFUSALS:
            tally.refused += 1
        else:
            tally.accepted.append(str(wrong.error_regex))


def report() -> str:
    """The report, in Markdown."""
    rows, totals, skipped = [], Counter(), Counter()
    reasons: list[str] = []
    for entry in claimed():
        t = run(entry, MANY)
        print(name_of(entry), t.passed, t.tried, flush=True)
        totals.update(passed=t.passed, tried=t.tried, skipped=sum(t.skipped.values()), refused=t.refused, accepted=len(t.accepted))
        skipped.update(t.skipped)
        if t.failed or t.accepted:
            rows.append(f"| {name_of(entry)} | {t.passed} of {t.tried} | {t.refused} of {t.refused + len(t.accepted)} |")
            reasons += [f"- `{name_of(entry)}`, {n}: {plain(why)}" for why, n in t.failed.most_common(4)]
            reasons += [f"- `{name_of(entry)}` accepts what PyTorch refuses: {plain(why)}" for why in t.accepted[:2]]
    missing = sorted({e.name for e in op_db() if not counterpart(e)})
    return "\n".join([
        "# Conformance with PyTorch's own samples", "",
        f"Written by `python -m tests.conformance` with PyTorch {torch.__version__.partition('+')[0]}: the float32 samples of `op_db`, at "
        f"most {MANY} of an entry, forward and gradient.", "",
        f"- {len(claimed())} entries of {len(op_db())} are claimed; {totals['passed']} of {totals['tried']} samples pass "
        f"({100 * totals['passed'] / totals['tried']:.1f}%).",
        f"- {totals['refused']} of {totals['refused'] + totals['accepted']} wrong calls are refused.",
        f"- {totals['skipped']} samples are not tried: " + ", ".join(f"{n} with a {what}" for what, n in skipped.most_common()) + ".",
        "- `out=` is refused by every function, with a TypeError that names it.", "",
        "## Entries where something does not pass (all others pass whole)", "",
        "| entry | samples | wrong calls refused |", "|---|---|---|",
        *rows, "", "## Why", "", *reasons, "", "## Entries without a counterpart", "", ", ".join(f"`{n}`" for n in missing), ""])


def plain(text: str) -> str:
    """One line without what Markdown would read."""
    return text.replace("\n", " ").replace("|", "/").replace("<", "(").replace(">", ")")[:160]


if __name__ == "__main__":
    written = report()
    with open(os.path.join(os.path.dirname(__file__), "conformance.md"), "w") as f:
        f.write(written)
