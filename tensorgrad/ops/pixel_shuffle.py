"""pixel_shuffle and pixel_unshuffle: channels into space and back; channel_shuffle: groups of channels interleaved."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor


class PixelShuffle(Op):
    """(*, C r^2, H, W) to (*, C, H r, W r): y[c, h r + i, w r + j] = x[c r^2 + i r + j, h, w] with r = `upscale_factor`.

    Shi et al., "Real-time single image and video super-resolution", 2016.
    """

    name = "pixel_shuffle"
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, upscale_factor: int) -> Tensor:
        shape, r = tuple(input.array.shape), upscale_factor
        if len(shape) < 3:
            raise RuntimeError(f"pixel_shuffle: input must have at least 3 dims (*, C, H, W), got shape {shape}")
        if r < 1 or shape[-3] % (r * r):
            raise RuntimeError(f"pixel_shuffle: {shape[-3]} channels (dim {len(shape) - 3} of {shape}) do not divide by "
                               f"upscale_factor^2 = {r * r}")
        lead, (c, h, w), n = shape[:-3], shape[-3:], len(shape) - 3
        x = fn.reshape(input, *lead, c // (r * r), r, r, h, w)
        return fn.reshape(fn.permute(x, *range(n), n, n + 3, n + 1, n + 4, n + 2), *lead, c // (r * r), h * r, w * r)  # (*, C, H, i, W, j)

    def reference(self, x: Any, upscale_factor: int) -> Any:
        r, (c, h, w) = upscale_factor, x.shape[-3:]
        parts = x.reshape(*x.shape[:-3], c // (r * r), r, r, h, w)
        return np.moveaxis(parts, (-4, -3), (-3, -1)).reshape(*x.shape[:-3], c // (r * r), h * r, w * r)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 8, 2, 3), 2), Case(T(9, 3, 1), 3), Case(T(0, 4, 2, 2), 2, torch=False), Case(T(1, 3, 2, 2), 1))
        yield Case(T(1, 6, 2, 2), 2, error=(RuntimeError, "pixel_shuffle: 6 channels (dim 1 of (1, 6, 2, 2)) do not divide"))


class PixelUnshuffle(Op):
    """(*, C, H r, W r) to (*, C r^2, H, W), the inverse of pixel_shuffle with r = `downscale_factor`."""

    name = "pixel_unshuffle"
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, downscale_factor: int) -> Tensor:
        shape, r = tuple(input.array.shape), downscale_factor
        if len(shape) < 3:
            raise RuntimeError(f"pixel_unshuffle: input must have at least 3 dims (*, C, H, W), got shape {shape}")
        if r < 1 or shape[-1] % r or shape[-2] % r:
            raise RuntimeError(f"pixel_unshuffle: an image of {shape[-2]} x {shape[-1]} does not divide by downscale_factor {r}")
        lead, (c, h, w), n = shape[:-3], shape[-3:], len(shape) - 3
        x = fn.reshape(input, *lead, c, h // r, r, w // r, r)
        return fn.reshape(fn.permute(x, *range(n), n, n + 2, n + 4, n + 1, n + 3), *lead, c * r * r, h // r, w // r)  # (*, C, i, j, H, W)

    def reference(self, x: Any, downscale_factor: int) -> Any:
        r, (c, h, w) = downscale_factor, x.shape[-3:]
        parts = x.reshape(*x.shape[:-3], c, h // r, r, w // r, r)
        return np.moveaxis(parts, (-3, -1), (-4, -3)).reshape(*x.shape[:-3], c * r * r, h // r, w // r)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 2, 4, 6), 2), Case(T(1, 9, 3), 3), Case(T(0, 1, 2, 2), 2, torch=False), Case(T(1, 3, 2, 2), 1))
        yield Case(T(1, 2, 3, 4), 2, error=(RuntimeError, "pixel_unshuffle: an image of 3 x 4 does not divide by downscale_factor 2"))


class ChannelShuffle(Op):
    """Channels, in `groups` of k, interleaved: y[:, i groups + j] = x[:, j k + i]. Zhang et al., "ShuffleNet", 2018."""

    name = "channel_shuffle"
    method = False
    functional = True
    composite = True

    def forward(self, input: Tensor, groups: int) -> Tensor:
        shape = tuple(input.array.shape)
        if len(shape) < 3:
            raise RuntimeError(f"channel_shuffle: input must be (N, C, ...) with at least 3 dims, got shape {shape}")
        if groups < 1 or shape[1] % groups:
            raise RuntimeError(f"channel_shuffle: {shape[1]} channels (dim 1 of {shape}) do not divide into {groups} groups")
        return fn.reshape(fn.transpose(fn.reshape(input, shape[0], groups, shape[1] // groups, *shape[2:]), 1, 2), shape)

    def reference(self, x: Any, groups: int) -> Any:
        return x.reshape(x.shape[0], groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)

    def cases(self) -> Iterable[Case]:
        yield from (Case(T(2, 6, 3), 2), Case(T(1, 6, 2, 2), 3), Case(T(2, 4, 3), 1))
        yield Case(T(2, 5, 3), 2, error=(RuntimeError, "channel_shuffle: 5 channels (dim 1 of (2, 5, 3)) do not divide into 2 groups"))
