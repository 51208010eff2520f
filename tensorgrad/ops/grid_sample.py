"""grid_sample: an image looked up at any places, between its pixels."""
from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap

MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
Tap = tuple[Any, Any, Any]  # (whole places, whether they are inside, their weights or None for 1) along one dim

class GridSample(Op):
    """y[n, c, i, j] = input[n, c] at (x, y) = grid[n, i, j], for input (N, C, H, W) and grid (N, HO, WO, 2).

    Volumes (N, C, D, H, W) take (N, DO, HO, WO, 3) of (x, y, z). Coordinates go from -1 to 1 over the image: between the centres of
    its corner pixels with `align_corners`, otherwise between its edges. `mode` is "bilinear" (trilinear for volumes), "nearest" or,
    for images, "bicubic" (a = -0.75). Outside `padding_mode` says what is there: "zeros", "border" or "reflection".
    Gathered and weighted with Tensor operations, so derivatives of any order follow. Jaderberg et al., NIPS 2015.
    """

    name = "grid_sample"
    autocast = ("float32", "widest")
    function = method = False
    functional = True
    composite = True
    group = "gather"

    def forward(self, input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:
        x, g = tuple(input.shape), tuple(grid.shape)
        if mode not in MODES or padding_mode not in PADDINGS:
            raise ValueError(f"grid_sample: mode must be one of {', '.join(MODES)}, padding_mode of {', '.join(PADDINGS)}, got {mode!r}, "
                             f"{padding_mode!r}")
        if len(x) not in (4, 5) or len(g) != len(x) or g[0] != x[0] or g[-1] != len(x) - 2 or (mode == "bicubic" and len(x) == 5):
            raise RuntimeError(f"grid_sample: {mode} of input {x} with grid {g}; expected (N, C, H, W) with (N, HO, WO, 2)"
                               + ("" if mode == "bicubic" else ", or (N, C, D, H, W) with (N, DO, HO, WO, 3)"))
        if input.dtype is not grid.dtype or not input.dtype.is_floating_point:
            raise RuntimeError(f"grid_sample: input is {input.dtype.name} and grid {grid.dtype.name}; both must be of one floating dtype")
        if 0 in x[1:]:
            raise RuntimeError(f"grid_sample: only the batch may be empty, got input of shape {x}")
        sizes, align = x[2:], bool(align_corners)
        wide = grid if grid.dtype.itemsize > 2 else grid.float()
        lines = []
        for d, n in enumerate(sizes):  # x is the last of the image's dims, the first of the grid's
            at = wide[..., len(sizes) - 1 - d] + 1.0
            at = at * ((n - 1) / 2) if align else (at * n - 1.0) * 0.5
            lines.append(_taps(at, n, padding_mode, align, mode))
        flat = fn.reshape(input, *x[:2], int(np.prod(sizes)))
        y: Any = None
        for taps in itertools.product(*lines):
            part = _looked_up(flat, taps, sizes, g[1:-1])
            y = part if y is None else y + part
        return y.to(input.dtype)

    def reference(self, x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: Any = None) -> Any:
        sizes, align = x.shape[2:], bool(align_corners)
        y = np.zeros((*x.shape[:2], *grid.shape[1:-1]))

        def reflected(at: float, n: int) -> float:
            low, span = (0.0, n - 1.0) if align else (-0.5, float(n))
            if span == 0:
                return 0.0
            turns, rest = divmod(abs(at - low), span)
            return low + (rest if turns % 2 == 0 else span - rest)

        def inside(at: float, n: int) -> float:
            at = reflected(at, n) if padding_mode == "reflection" else at
            return at if padding_mode == "zeros" else min(max(at, 0), n - 1)

        for index in np.ndindex(*grid.shape[:-1]):
            lines = []
            for at, n in zip(grid[index][::-1], sizes, strict=True):
                at = (at + 1) / 2 * (n - 1) if align else ((at + 1) * n - 1) / 2
                if mode == "bicubic":
                    near = [(np.floor(at) + k, abs(at - np.floor(at) - k)) for k in (-1, 0, 1, 2)]
                    lines.append([(int(np.floor(inside(i, n))), (1.25 * s - 2.25) * s * s + 1 if s <= 1 else
                                   -0.75 * (((s - 5) * s + 8) * s - 4)) for i, s in near])
                else:
                    at = inside(at, n)
                    low = int(np.floor(at))
                    lines.append([(int(np.rint(at)), 1.0)] if mode == "nearest" else [(low, low + 1 - at), (low + 1, at - low)])
            for taps in itertools.product(*lines):
                if all(0 <= i < n for (i, _), n in zip(taps, sizes, strict=True)):
                    pixel = x[(index[0], slice(None), *[i for i, _ in taps])]
                    y[(index[0], slice(None), *index[1:])] += np.prod([w for _, w in taps]) * pixel
        return y

    def cases(self) -> Iterable[Case]:
        for mode, padding, aligned in itertools.product(MODES, PADDINGS, (True, False)):
            smooth = padding == "reflection" and not aligned  # one of them will do
            yield Case(T(2, 2, 3, 4), T(2, 2, 2, 2, low=-1.7, high=1.7), mode, padding, aligned, smooth=smooth)
            if mode != "bicubic":
                yield Case(T(1, 1, 3, 2, 4), T(1, 2, 1, 2, 3, low=-1.7, high=1.7), mode, padding, aligned, smooth=smooth)
        yield from (Case(T(1, 1, 1, 3), T(1, 2, 3, 2, low=-3, high=3), "bilinear", "reflection", True), Case(T(0, 1, 2, 2), T(0, 2, 2, 2)))
        yield Case(T(1, 1, 3, 3), T(1, 2, 2, 3), error=(RuntimeError, "grid_sample: bilinear of input (1, 1, 3, 3) with grid (1, 2, 2, 3)"))
        yield Case(T(1, 1, 2, 3, 3), T(1, 2, 2, 2, 3), "bicubic", error=(RuntimeError, "expected (N, C, H, W) with (N, HO, WO, 2)"))
        yield Case(T(1, 1, 3, 3), T(1, 2, 2, 2), "cubic", error=(ValueError, "grid_sample: mode must be one of bilinear, nearest"))


def _kept(at: Tensor, n: int, padding: str, align: bool) -> Tensor:
    """Places brought back into the image where the padding says so; there is no gradient where they were cut off."""
    if padding == "zeros":
        return at
    if padding == "reflection":
        low, span = (0.0, n - 1.0) if align else (-0.5, float(n))
        if span == 0:
            return at * 0.0
        away = fn.abs(at - low)
        turns = fn.floor(away.detach() / span)
        rest = away - turns * span
        at = fn.where(turns % 2 == 0, rest, span - rest) + low
    return fn.where(at <= 0, 0.0, fn.where(at >= n - 1, n - 1.0, at))


def _taps(at: Tensor, n: int, padding: str, align: bool, mode: str) -> list[Tap]:
    xp, at = at.device.backend.xp, at if mode == "bicubic" else _kept(at, n, padding, align)
    if mode == "nearest":
        return [(*_whole(xp, xp.rint(at.array), n), None)]
    low = xp.floor(at.array)
    t = at - wrap(low, at.device)
    u = 1.0 - t
    if mode == "bilinear":
        return [(*_whole(xp, low, n), u), (*_whole(xp, low + 1, n), t)]
    weights = (((-0.75 * t + 1.5) * t - 0.75) * t, (1.25 * t - 2.25) * t * t + 1.0, (1.25 * u - 2.25) * u * u + 1.0,
               ((-0.75 * u + 1.5) * u - 0.75) * u)
    return [(*_whole(xp, xp.floor(_kept(wrap(low + (k - 1), at.device), n, padding, align).array), n), w) for k, w in enumerate(weights)]


def _whole(xp: Any, at: Any, n: int) -> tuple[Any, Any]:
    """Whole numbers within the dim, and where they were so from the start."""
    inside = (at >= 0) & (at < n)
    return xp.where(inside, at, 0).astype(np.int64), inside


def _looked_up(flat: Tensor, taps: tuple[Tap, ...], sizes: tuple[int, ...], out: tuple[int, ...]) -> Tensor:
    """The pixels (N, C, *out) at one tap of each dim, weighted; 0 for those outside."""
    place, inside, weight = 0, True, None
    for (at, within, w), n in zip(taps, sizes, strict=True):
        place, inside = place * n + at, inside & within
        weight = w if weight is None else weight * w
    n, c, _ = flat.array.shape
    places, count = wrap(place, flat.device), int(np.prod(out))
    found = fn.gather(flat, -1, fn.expand(fn.reshape(places, n, 1, count), n, c, count))
    mask = wrap(inside, flat.device)
    weight = fn.where(mask, 1.0 if weight is None else weight, 0.0)
    return fn.reshape(found, n, c, *out) * fn.unsqueeze(weight, 1)
