"""Chains of element-wise operations as one formula: a bias and GELU, SwiGLU, and the gradients of both, each operand read once.

Operands have any steps between their elements, 0 where they are broadcast; dimensions that lie one behind the other in all of them
become one. Numbers are float32 while they are computed.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

from typing import Any

import triton.language as tl

from .runtime import Form, cdiv, device_function, forms, kernel, plan, power_of_2, rung
from .shared.epilogue import activate

TYPES = "float32 float16 bfloat16"
TILE = 2048  # elements of a program


@device_function
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@device_function
def slope(x, ACTIVATION: tl.constexpr):
    # d activate(x) / dx for gelu and gelu_tanh
    if ACTIVATION == 2:
        return 0.5 * (1.0 + tl.erf(x * 0.70710678118654752)) + x * tl.exp(-0.5 * x * x) * 0.39894228040143268
    else:
        q = x * x
        s = sigmoid(x * (q * 0.07135481627260025 + 1.5957691216057308))
        return s + x * s * (1.0 - s) * (q * 0.21406444881780075 + 1.5957691216057308)


@device_function
def picked(A, outer, inner, column, a0, a1, a2, there):
    at = (outer * a0 + inner * a1)[:, None] + (column * a2)[None, :]
    return tl.load(A + at, mask=there, other=0.0).to(tl.float32)


@kernel
def chain(Y, Z, A, B, C, rows, middle, n, a0, a1, a2, b0, b1, b2, c0, c1, c2, FORMULA: tl.constexpr, ACTIVATION: tl.constexpr,
          ROWS: tl.constexpr, BLOCK: tl.constexpr):
    # Operands (rows / middle, middle, n); the results Y and Z (or None) lie one row behind the other.
    across = tl.cdiv(n, BLOCK)
    first = (tl.program_id(0) // across).to(tl.int64) * ROWS
    row = first + tl.arange(0, ROWS)
    column = (tl.program_id(0) % across).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = (row < rows)[:, None] & (column < n)[None, :]
    place = (first % middle).to(tl.int32) + tl.arange(0, ROWS)  # rows are divided in 32 bits
    outer, inner = first // middle + place // middle, (place % middle).to(tl.int64)
    a = picked(A, outer, inner, column, a0, a1, a2, there)
    b = picked(B, outer, inner, column, b0, b1, b2, there)
    at = row[:, None] * n + column[None, :]
    if FORMULA == "bias":
        y = activate(a + b, ACTIVATION)
    elif FORMULA == "bias_backward":
        y = a * slope(b + picked(C, outer, inner, column, c0, c1, c2, there), ACTIVATION)
    elif FORMULA == "swiglu":
        y = activate(a, 4) * b
    else:
        c = picked(C, outer, inner, column, c0, c1, c2, there)
        s = sigmoid(b)
        y = a * c * (s * (1.0 + b * (1.0 - s)))
        tl.store(Z + at, (a * (b * s)).to(Z.dtype.element_ty), mask=there)
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=there)


def collapsed(shape: tuple[int, ...], size: int, *layouts: Any) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The shape, and the steps in elements of operands of that shape or broadcast to it, with as few dimensions as serve them all."""
    sizes, steps = [1], [[0] * len(layouts)]
    for i, length in enumerate(shape):
        if length == 1:
            continue
        these = []
        for own, strides in layouts:
            j = i - len(shape) + len(own)
            these.append(strides[j] // size if j >= 0 and own[j] > 1 else 0)
        if sizes[-1] == 1 or all(before == now * length for before, now in zip(steps[-1], these, strict=True)):
            sizes[-1], steps[-1] = sizes[-1] * length, these
        else:
            sizes.append(length)
            steps.append(these)
    return tuple(sizes), tuple([tuple(s) for s in zip(*steps, strict=True)])


def as_three(of: tuple[int, ...], absent: int = 1) -> tuple[int, ...]:
    """A number for each of (rows, a second dimension of rows, columns)."""
    return (*of[:-1], *(absent,) * (3 - len(of)), of[-1])


@plan
def plan_chain(formula: str, activation: int, y: Form, operands: tuple[Form | None, ...]) -> Any:
    """The launch for results of y's form; None where operands lie so that more than three dimensions are left."""
    shape, steps = collapsed(y[0], y[2], *[form[:2] for form in operands if form is not None])
    if len(shape) > 3:
        return None
    shape, steps = as_three(shape), tuple([as_three(s, 0) for s in steps])
    rows, n = shape[0] * shape[1], shape[2]
    block = min(power_of_2(n), TILE)
    each = min(TILE // block, power_of_2(rows))
    numbers = [step for s in steps for step in s] + [0] * (9 - 3 * len(steps))
    return chain[cdiv(rows, each) * cdiv(n, block)].bind(
        rows, shape[1], n, *numbers, FORMULA=formula, ACTIVATION=activation, ROWS=each, BLOCK=block, num_warps=4)


def run(formula: str, activation: int, y: Any, z: Any, *operands: Any) -> None:
    """One launch, or one for each element of the first dimension where there are more than three. Of three operands the last may be
    None."""
    form, *others = forms(y, *operands)
    launch = plan_chain(formula, activation, form, tuple(others))
    if launch is not None:
        launch(y, z, *operands)
        return
    for i in range(y.shape[0]):
        parts = [a if a is None or a.ndim < y.ndim else a[i if a.shape[0] > 1 else 0] for a in operands]
        run(formula, activation, y[i], None if z is None else z[i], *parts)


@rung("bias_gelu", "triton/vectorized", TYPES)
def bias_gelu(y: Any, x: Any, bias: Any, tanh: int) -> None:
    run("bias", 3 if tanh else 2, y, None, x, bias, None)


@rung("bias_gelu_backward", "triton/vectorized", TYPES)
def bias_gelu_backward(dz: Any, g: Any, x: Any, bias: Any, tanh: int) -> None:
    run("bias_backward", 3 if tanh else 2, dz, None, g, x, bias)


@rung("swiglu", "triton/vectorized", TYPES)
def swiglu(y: Any, a: Any, b: Any) -> None:
    run("swiglu", 0, y, None, a, b, None)


@rung("swiglu_backward", "triton/vectorized", TYPES, writes=(0, 1))
def swiglu_backward(da: Any, db: Any, g: Any, a: Any, b: Any) -> None:
    run("swiglu_backward", 0, da, db, g, a, b)
