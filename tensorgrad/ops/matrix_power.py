"""matrix_power, matrix_exp, multi_dot: products of matrices."""
from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import fn
from ..tensor import Tensor
from .shared.matrices import Matrices, eye_like, matrices, regular


class MatrixPower(Matrices):
    """A^n of square matrices by repeated squaring; negative n takes the inverse."""

    name = "matrix_power"
    regular = True
    places = ("linalg.matrix_power",)
    composite = True

    def forward(self, input: Tensor, n: int) -> Tensor:
        matrices("matrix_power", input, square=True)
        if n == 0:
            return input * 0 + eye_like(input, input.shape[-1])
        power, y = fn.inverse(input) if n < 0 else input, None
        n = abs(n)
        while n:
            if n & 1:
                y = power if y is None else y @ power
            n >>= 1
            power = power @ power if n else power
        return y  # type: ignore[return-value]

    def reference(self, a: Any, n: int) -> Any:
        return np.linalg.matrix_power(a, n)

    def cases(self) -> Iterable[Case]:
        yield from (Case(regular(3), n) for n in (0, 1, 2, 5, -1, -2))
        yield Case(T(2, 3), 2, error=(RuntimeError, "matrix_power: the matrices must be square, got 2 x 3"))


class MatrixExp(Matrices):
    """e^A of square matrices: Taylor's series of A / 2^k, squared k times."""

    name = "matrix_exp"
    autocast = ("widest", "widest")
    places = ("linalg.matrix_exp",)
    composite = True

    def forward(self, input: Tensor) -> Tensor:
        a = matrices("matrix_exp", input, square=True)
        largest = float(input.device.backend.to_numpy(abs(a).sum(axis=-1)).max(initial=0.0))
        halvings = max(0, math.ceil(math.log2(largest)) + 2) if 0 < largest < math.inf else 0
        x = input / 2.0**halvings
        y = eye_like(input, input.shape[-1]) + x * 0
        for k in range(16, 0, -1):  # Horner: 1 + x (1 + x/2 (1 + x/3 ...))
            y = eye_like(input, input.shape[-1]) + (x @ y) / k
        for _ in range(halvings):
            y = y @ y
        return y

    def reference(self, a: Any) -> Any:
        y = term = np.broadcast_to(np.eye(a.shape[-1]), a.shape)
        for k in range(1, 60):
            term = term @ a / k
            y = y + term
        return y

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(3, 3)), Case(T(2, 2, 2)), Case(T(0, 0)), Case(T(2, 2, low=-4, high=4)))


class MultiDot(Matrices):
    """The product of several matrices, in the order of brackets that needs the fewest multiplications; first and last may be vectors."""

    name = "multi_dot"
    places = ("linalg.multi_dot",)
    function = method = False
    composite = True
    half = True

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        if len(tensors) < 2:
            raise RuntimeError("multi_dot: expected at least two tensors")
        first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
        chain = list(tensors)
        chain[0] = chain[0].unsqueeze(0) if first else chain[0]
        chain[-1] = chain[-1].unsqueeze(1) if last else chain[-1]
        for i, t in enumerate(chain):
            if t.ndim != 2:
                raise RuntimeError(f"multi_dot: tensor {i} has shape {tuple(tensors[i].shape)}; only the ends may be vectors")
            if i and chain[i - 1].shape[1] != t.shape[0]:
                raise RuntimeError(f"multi_dot: shapes {tuple(chain[i - 1].shape)} and {tuple(t.shape)} of neighbours do not fit")
        sizes = [*(t.shape[0] for t in chain), chain[-1].shape[1]]

        @functools.cache
        def best(i: int, j: int) -> tuple[int, int]:  # (multiplications, where to split)
            if i == j:
                return 0, i
            return min((best(i, k)[0] + best(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))

        def product(i: int, j: int) -> Tensor:
            if i == j:
                return chain[i]
            k = best(i, j)[1]
            out: Tensor = product(i, k) @ product(k + 1, j)
            return out

        y = product(0, len(chain) - 1)
        y = y.squeeze(0) if first else y
        return y.squeeze(-1) if last else y

    def reference(self, tensors: Any) -> Any:
        return functools.reduce(np.matmul, tensors)

    def cases(self) -> Iterable[Case]:
        yield from (Case([T(2, 3), T(3, 4), T(4, 2)]), Case([T(3), T(3, 4)]), Case([T(2, 3), T(3, 4), T(4)]), Case([T(3), T(3)]))
        yield Case([T(2, 3)], error=(RuntimeError, "multi_dot: expected at least two tensors"))


class ChainMatmul(Matrices):
    """The product of matrices: `linalg.multi_dot` by its older name, which takes them one by one."""

    name = "chain_matmul"
    method = False
    composite = True
    tested_in = "tests/test_linalg.py"

    def forward(self, *matrices: Tensor) -> Tensor:
        return matrices[0] if len(matrices) == 1 else fn.multi_dot(list(matrices))
