"""interpolate: resize lines, images and volumes."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor
from .shared.interpolation import resize_taps
from .shared.windows import Taps, adaptive_taps

MODES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,),
         "area": (1, 2, 3)}  # and how many sizes they resize
LINES = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


class Interpolate(Op):
    """`input` (N, C, *sizes), of one to three sizes, resized to `size`, or by `scale_factor` (each one number, or one per dim).

    Modes: nearest, nearest-exact, linear, bilinear, trilinear, bicubic (a = -0.75), area (adaptive mean). Pixels are squares whose
    centres stay in place; with `align_corners` they are points and the corners stay. `antialias` widens the linear and cubic
    filters when shrinking. Each dim is one sparse product (`resample`), so gradients of any order follow.
    """

    name = "interpolate"
    autocast = ("", "float32")
    function = method = False
    functional = True
    composite = True
    group = "resample"
    torch_name = "nn.functional.interpolate"

    def forward(self, input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
                recompute_scale_factor: bool | None = None, antialias: bool = False) -> Tensor:
        shape = input.array.shape
        dims = len(shape) - 2
        if mode not in MODES:
            raise NotImplementedError(f"interpolate: mode must be one of {', '.join(MODES)}, got {mode!r}")
        if dims not in MODES[mode]:
            raise NotImplementedError(f"interpolate: mode {mode!r} needs an input of {' or '.join(str(d + 2) for d in MODES[mode])} dims, "
                                      f"got shape {tuple(shape)}")
        if align_corners is not None and mode not in LINES:
            raise ValueError(f"interpolate: align_corners goes with linear, bilinear, trilinear and bicubic, not with {mode!r}")
        if antialias and mode not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolate: antialias goes with bilinear and bicubic, not with {mode!r}")
        if any(n == 0 for n in shape[1:]):
            raise RuntimeError(f"interpolate: only the batch may be empty, got input of shape {tuple(shape)}")
        sizes, factors = self._target(shape[2:], size, scale_factor, bool(recompute_scale_factor))
        options = bool(align_corners), antialias, input.dtype.name != "float64"
        taps = [self._taps(mode, n, m, f, *options) for n, m, f in zip(shape[2:], sizes, factors, strict=True)]
        if dims == 1:
            return fn.resample(input, None, taps[0])
        y = fn.resample(input, taps[-2], taps[-1])
        if dims == 2 or taps[0] is None:
            return y
        flat = fn.reshape(y, *shape[:3], sizes[1] * sizes[2])  # (N, C, D, H W)
        return fn.reshape(fn.resample(flat, taps[0], None), *shape[:2], *sizes)

    @staticmethod
    def _taps(mode: str, n: int, size: int, factor: float | None, align_corners: bool, antialias: bool,
              single: bool) -> Taps | None:
        if mode == "area":
            return adaptive_taps(n, size)
        plain = mode == "nearest" or LINES.get(mode) == "linear" or antialias  # PyTorch copies where these keep the size
        if n == size and (plain or factor is None or factor == 1):
            return None
        return resize_taps(LINES.get(mode, mode), n, size, factor, align_corners, antialias, single)

    @staticmethod
    def _target(sizes: Any, size: Any, scale_factor: Any, recompute: bool) -> tuple[list[int], list[float | None]]:
        """(output sizes, the factors that place the pixels, or None where the sizes do)."""
        if (size is None) == (scale_factor is None):
            raise ValueError("interpolate: give one of size and scale_factor")
        given = scale_factor if size is None else size
        values = list(given) if isinstance(given, (tuple, list)) else [given] * len(sizes)
        if len(values) != len(sizes):
            raise ValueError(f"interpolate: {len(values)} values of {'scale_factor' if size is None else 'size'} for {len(sizes)} dims")
        if size is None:
            out = [math.floor(n * float(f)) for n, f in zip(sizes, values, strict=True)]
        elif recompute:
            raise ValueError("interpolate: recompute_scale_factor needs a scale_factor, not a size")
        else:
            out = [int(v) for v in values]
        if any(v < 1 for v in out):
            raise RuntimeError(f"interpolate: the output would have sizes {out}; each must be at least 1")
        return out, [None if recompute or size is not None else float(f) for f in values]

    def reference(self, x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None,
                  recompute_scale_factor: Any = None, antialias: bool = False) -> Any:
        """Dense matrices, dim by dim."""
        sizes, factors = self._target(x.shape[2:], size, scale_factor, bool(recompute_scale_factor))
        for d, (n, m, f) in enumerate(zip(x.shape[2:], sizes, factors, strict=True)):
            taps = self._taps(mode, n, m, f, bool(align_corners), antialias, False)
            if taps is not None:
                x = (x.swapaxes(d + 2, -1) @ taps.dense().T).swapaxes(d + 2, -1)
        return x

    def cases(self) -> Iterable[Case]:
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
            yield from (Case(T(2, 3, 4, 5), scale_factor=2, mode=mode), Case(T(1, 2, 7, 5), [3, 11], mode=mode))
            yield from (Case(T(1, 1, 9, 8), scale_factor=[0.4, 1.3], mode=mode), Case(T(1, 2, 5, 6), 1, mode=mode))
        for mode in ("bilinear", "bicubic"):
            yield from (Case(T(1, 2, 4, 5), [7, 1], mode=mode, align_corners=True), Case(T(1, 1, 13, 3), [4, 7], mode=mode, antialias=True))
        yield from (Case(T(2, 3, 5), scale_factor=1.7, mode="linear"), Case(T(1, 2, 7), 3))
        yield Case(T(1, 2, 7), 5, mode="linear", align_corners=True)
        yield from (Case(T(1, 2, 3, 2, 4), [2, 5, 3], mode="trilinear"), Case(T(1, 1, 2, 3, 2), scale_factor=2), Case(T(0, 1, 2, 2), 3))
        yield Case(T(1, 1, 9), scale_factor=1.3, mode="linear", recompute_scale_factor=True)
        yield Case(T(1, 1, 4, 4), error=(ValueError, "interpolate: give one of size and scale_factor"))
        yield Case(T(1, 4, 4), 3, mode="bilinear", error=(NotImplementedError, "interpolate: mode 'bilinear' needs an input of 4 dims"))
        yield Case(T(1, 1, 4, 4), 3, align_corners=True, error=(ValueError, "interpolate: align_corners goes with linear"))
        yield Case(T(1, 1, 4, 4), scale_factor=0.1, error=(RuntimeError, "each must be at least 1"))
        yield Case(T(1, 1, 4, 4), 3, mode="sinc", error=(NotImplementedError, "interpolate: mode must be one of nearest"))
