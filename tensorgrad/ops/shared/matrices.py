"""What the operations of linear algebra share: what they take, and LAPACK's errors in our words."""
from __future__ import annotations

from typing import Any

import numpy as np

from ...cases import T
from ...errors import LinAlgError
from ...op import Op
from ...tensor import Tensor, wrap


class Matrices(Op):
    """Base of ops on matrices, which are the last two dimensions. Half precision has no LAPACK."""

    half = False
    regular = False  # whether matrices with equal rows are refused

    def factor(self, name: str, *inputs: Tensor, **options: Any) -> Any:
        """LAPACK's `name` by way of NumPy, as tensors on the inputs' device; LinAlgError where a matrix does not have what it takes.

        The matrices of a GPU go to the host for it and the factors back: they are small, and LAPACK's is the word on their digits.
        """
        device = inputs[0].device
        try:
            found = getattr(np.linalg, name)(*[device.backend.to_numpy(t.array) for t in inputs], **options)
        except np.linalg.LinAlgError as e:
            raise LinAlgError(f"{self.name.partition('_')[0]}: {e}") from None
        out = [wrap(device.backend.asarray(np.asarray(f)), device) for f in (found if isinstance(found, tuple) else (found,))]
        return tuple(out) if isinstance(found, tuple) else out[0]


def matrices(op: str, input: Tensor, square: bool = False) -> Any:
    """The array of a tensor of matrices; refuses other dtypes and shapes."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}: expected a Tensor, got {type(input).__name__}")
    if input.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"{op}: needs float32 or float64, got {input.dtype.name}")
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(f"{op}: expected matrices in the last two dimensions, got the shape {shape}")
    if square and shape[-1] != shape[-2]:
        raise RuntimeError(f"{op}: the matrices must be square, got {shape[-2]} x {shape[-1]} (shape {shape})")
    return input.array


def eye_like(x: Tensor, n: int) -> Tensor:
    """The n x n unit matrix in the dtype and on the device of `x`."""
    from ...creation import eye

    return eye(n, dtype=x.dtype, device=x.device)


def positive_definite(n: int = 4, batch: tuple[int, ...] = ()) -> T:
    """A sample matrix with large diagonal elements: symmetric in its gradient's eyes only."""
    rng = np.random.default_rng(n)
    a = rng.uniform(-1, 1, (*batch, n, n))
    return T(values=a @ np.swapaxes(a, -1, -2) + n * np.eye(n))


def regular(n: int = 4, batch: tuple[int, ...] = ()) -> T:
    """A sample matrix far from singular."""
    return T(values=np.random.default_rng(n).uniform(-1, 1, (*batch, n, n)) + n * np.eye(n))


