"""Steps of optimizers: one launch for all parameters, which a program finds by a table of addresses in the GPU's memory.

The formulas stand in shared/steps.py, one of which is compiled in; this is how elements are fetched. A whole chunk whose arrays start at
multiples of 16 bytes goes 16 bytes a load, ends and other chunks element by element. In a graph the numbers of a step lie in memory, where
`hold` puts those of the day before each replay. Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl

from .. import dtypes
from .runtime import FREE, device_function, kernel, rung
from .shared import steps
from .shared.steps import NUMBERS, stepped
from .shared.table import CHUNK, MOST, address, array_at, chunk_of, tables

TYPES = "float32 float16 bfloat16"


@device_function
def update(TABLE, count, entry, begin, left, n, FORMULA: tl.constexpr, T: tl.constexpr, S: tl.constexpr, MASTER: tl.constexpr,
           HAS: tl.constexpr, CHUNK: tl.constexpr, WHOLE: tl.constexpr):
    # Slots: parameter, gradient, master and states, of which those that are missing take none.
    i = tl.arange(0, CHUNK)
    here = None if WHOLE else i < left
    at = array_at(address(TABLE, count, entry, 0), begin, T, WHOLE) + i
    g = tl.load(array_at(address(TABLE, count, entry, 1), begin, T, WHOLE) + i, mask=here).to(tl.float32)
    FIRST: tl.constexpr = 3 if MASTER else 2
    SECOND: tl.constexpr = FIRST + HAS % 2
    THIRD: tl.constexpr = SECOND + HAS // 2 % 2
    master = array_at(address(TABLE, count, entry, 2), begin, S, WHOLE) + i if MASTER else at
    a = array_at(address(TABLE, count, entry, FIRST), begin, S, WHOLE) + i if HAS % 2 else at
    b = array_at(address(TABLE, count, entry, SECOND), begin, S, WHOLE) + i if HAS // 2 % 2 else at
    c = array_at(address(TABLE, count, entry, THIRD), begin, S, WHOLE) + i if HAS // 4 else at
    zero = tl.zeros([CHUNK], tl.float32)
    s = (tl.load(a, mask=here).to(tl.float32) if HAS % 2 else zero, tl.load(b, mask=here).to(tl.float32) if HAS // 2 % 2 else zero,
         tl.load(c, mask=here).to(tl.float32) if HAS // 4 else zero)
    p, s = stepped(FORMULA, tl.load(master, mask=here).to(tl.float32), g, s, n, HAS)
    tl.store(at, p.to(T), mask=here)
    if MASTER:
        tl.store(master, p, mask=here)
    if HAS % 2:
        tl.store(a, s[0].to(S), mask=here)
    if HAS // 2 % 2:
        tl.store(b, s[1].to(S), mask=here)
    if HAS // 4:
        tl.store(c, s[2].to(S), mask=here)


@device_function
def number(held, own, K: tl.constexpr):
    # The k-th of a step: the launch's own, or the one that lies in memory.
    return tl.load(held.to(tl.int64).to(tl.pointer_type(tl.float32)) + K, mask=held != 0, other=own)


@kernel
def multi_tensor(TABLE, count, held, n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, FORMULA: tl.constexpr, KIND: tl.constexpr,
                 MASTER: tl.constexpr, HAS: tl.constexpr, SLOTS: tl.constexpr, MOST: tl.constexpr, CHUNK: tl.constexpr):
    T: tl.constexpr = tl.float32 if KIND == "float32" else tl.float16 if KIND == "float16" else tl.bfloat16
    S: tl.constexpr = tl.float32 if MASTER else T
    n = (number(held, n0, 0), number(held, n1, 1), number(held, n2, 2), number(held, n3, 3), number(held, n4, 4), number(held, n5, 5),
         number(held, n6, 6), number(held, n7, 7), number(held, n8, 8), number(held, n9, 9))
    entry, begin, left = chunk_of(TABLE, count, MOST, CHUNK)
    places = address(TABLE, count, entry, 0)
    for slot in tl.static_range(1, SLOTS):
        places |= address(TABLE, count, entry, slot)
    if (left >= CHUNK) & (places % 16 == 0):
        update(TABLE, count, entry, begin, left, n, FORMULA, T, S, MASTER, HAS, CHUNK, True)
    else:
        update(TABLE, count, entry, begin, left, n, FORMULA, T, S, MASTER, HAS, CHUNK, False)


@kernel
def hold(held, n0, n1, n2, n3, n4, n5, n6, n7, n8, n9):
    at = held.to(tl.pointer_type(tl.float32))
    tl.store(at, n0)
    tl.store(at + 1, n1)
    tl.store(at + 2, n2)
    tl.store(at + 3, n3)
    tl.store(at + 4, n4)
    tl.store(at + 5, n5)
    tl.store(at + 6, n6)
    tl.store(at + 7, n7)
    tl.store(at + 8, n8)
    tl.store(at + 9, n9)


def step(formula: str, states: int, numbers_of: Callable[..., tuple[float, ...]]) -> Callable[..., None]:
    """The rung of `<formula>_step`: of parameters, masters or None, gradients, states (a list or None each), the op's numbers; then where
    a graph's numbers lie, or 0, and what puts a table into the GPU's memory. Without gradients it puts the numbers there."""

    @rung(f"{formula}_step", "triton/v01_multi_tensor", TYPES, writes=(0, 1, *range(3, 3 + states)))
    def run(params: Any, master: Any, grads: Any, *rest: Any) -> None:
        *numbers, held, put = rest[states:]
        n = numbers_of(*numbers)
        n += (0.0,) * (NUMBERS - len(n))
        if grads is None:
            hold[1](np.int64(held), *n, num_warps=1)
            return
        kept = rest[:states]
        columns = [params, grads, *[c for c in (master, *kept) if c is not None]]
        has = sum(1 << j for j, c in enumerate(kept) if c is not None)
        kind = dtypes.BY_NUMPY[params[0].dtype].name
        for table, count, chunks in tables(columns):
            multi_tensor[chunks](put(np.array(table)), np.int64(count), np.int64(held), *n, FORMULA=formula, KIND=kind,
                                 MASTER=master is not None, HAS=has, SLOTS=len(columns), MOST=MOST, CHUNK=CHUNK, num_warps=4, maxnreg=FREE)

    return run


sgd_step = step("sgd", 1, steps.sgd_numbers)
adam_step = step("adam", 3, steps.adam_numbers)
rmsprop_step = step("rmsprop", 3, steps.rmsprop_numbers)
adagrad_step = step("adagrad", 1, steps.adagrad_numbers)
adadelta_step = step("adadelta", 2, steps.adadelta_numbers)
adamax_step = step("adamax", 2, steps.adamax_numbers)
nadam_step = step("nadam", 2, steps.nadam_numbers)
radam_step = step("radam", 2, steps.radam_numbers)
rprop_step = step("rprop", 2, steps.rprop_numbers)
asgd_step = step("asgd", 1, steps.asgd_numbers)
