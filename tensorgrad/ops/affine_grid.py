"""affine_grid: the places that an affine map asks an image for, as grid_sample takes them."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap


class AffineGrid(Op):
    """grid[n, i, j] = theta[n] (x_j, y_i, 1)^T for theta (N, 2, 3) and `size` (N, C, H, W); (N, 3, 4) and (N, C, D, H, W) for volumes.

    The coordinates go from -1 to 1 over an image: between the centres of its corner pixels with `align_corners`, otherwise between its
    edges. The result is (N, H, W, 2), or (N, D, H, W, 3). Jaderberg et al., "Spatial transformer networks", NIPS 2015.
    """

    name = "affine_grid"
    autocast = ("lower", "lower")
    function = method = False
    functional = True
    composite = True

    def forward(self, theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
        size = tuple(int(n) for n in size)
        dims = len(size) - 2
        if dims not in (2, 3):
            raise NotImplementedError(f"affine_grid: size must be (N, C, H, W) or (N, C, D, H, W), got {size}")
        if min(size) < 1:
            raise ValueError(f"affine_grid: sizes must be positive, got {size}")
        if not theta.dtype.is_floating_point or tuple(theta.shape) != (size[0], dims, dims + 1):
            raise ValueError(f"affine_grid: theta must be floating of shape {(size[0], dims, dims + 1)} for size {size}, it is "
                             f"{theta.dtype.name} of shape {tuple(theta.shape)}")
        places = base(size[2:], bool(align_corners)).reshape(-1, dims + 1).astype(theta.array.dtype)
        grid = fn.matmul(wrap(theta.device.backend.constant(places), theta.device), fn.transpose(theta, 1, 2))  # (N, H W, 2)
        return fn.reshape(grid, size[0], *size[2:], dims)

    def reference(self, theta: Any, size: Any, align_corners: bool | None = None) -> Any:
        return np.einsum("...b,nab->n...a", base(size[2:], bool(align_corners)), theta)

    def cases(self) -> Iterable[Case]:
        for aligned in (True, False):
            yield from (Case(T(2, 2, 3), [2, 1, 3, 4], aligned), Case(T(1, 3, 4), [1, 2, 2, 3, 4], aligned))
            yield Case(T(1, 2, 3), [1, 1, 1, 5], aligned)
        yield Case(T(2, 2, 3), [1, 1, 3, 4], False, error=(ValueError, "affine_grid: theta must be floating of shape (1, 2, 3)"))
        yield Case(T(2, 2, 3), [2, 1, 0, 4], False, error=(ValueError, "affine_grid: sizes must be positive"))
        yield Case(T(2, 2, 3), [2, 1, 4], False, error=(NotImplementedError, "affine_grid: size must be (N, C, H, W) or"))


def base(sizes: tuple[int, ...], align_corners: bool) -> np.ndarray:
    """(x, y, 1), or (x, y, z, 1), of each pixel: an array of shape (*sizes, dims + 1)."""
    lines = []
    for n in sizes:
        at = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(at if align_corners else at * (n - 1) / n)
    return np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(sizes)], -1)
