"""From one kind of picture to another, and to the numbers a network takes."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...tensor import Tensor, wrap
from .compose import Transform
from .pictures import Picture, array_of, is_pil


def _as_tensor(picture: Picture, who: str) -> Tensor:
    if isinstance(picture, Tensor):
        raise TypeError(f"{who}: the picture is a tensor already")
    a = array_of(picture, who)
    from ...device import device

    return wrap(np.array(a if a.ndim == 3 else a[None], order="C"), device("cpu"))


class PILToTensor(Transform):
    """A PIL image or an array (H, W, C) as a tensor (C, H, W) of the same numbers."""

    def __call__(self, pic: Picture) -> Tensor:
        return _as_tensor(pic, "PILToTensor")


class ToTensor(Transform):
    """A PIL image or an array (H, W, C) as a float32 tensor (C, H, W); uint8 is divided by 255."""

    def __call__(self, pic: Picture) -> Tensor:
        return ConvertImageDtype(dtypes.float32)(_as_tensor(pic, "ToTensor"))


class ConvertImageDtype(Transform):
    """A tensor of another dtype, its white kept: 255 of uint8 is 1 of a floating one."""

    def __init__(self, dtype: dtypes.dtype):
        if not (dtype.is_floating_point or dtype is dtypes.uint8):
            raise ValueError(f"ConvertImageDtype: pictures are floating-point or uint8, not {dtype.name}")
        self.dtype = dtype

    def __call__(self, image: Tensor) -> Tensor:
        if image.dtype is self.dtype:
            return image
        if image.dtype is dtypes.uint8:
            return (image.to(dtypes.float32) / 255).to(self.dtype)
        if not image.dtype.is_floating_point:
            raise TypeError(f"ConvertImageDtype: the picture is {image.dtype.name}; expected uint8 or a floating-point one")
        return (image.clamp(0, 1) * 255).round().to(self.dtype) if self.dtype is dtypes.uint8 else image.to(self.dtype)


class ToPILImage(Transform):
    """A tensor (C, H, W) or an array (H, W, C) of 1, 3 or 4 channels, uint8 or between 0 and 1, as a PIL image."""

    def __init__(self, mode: str | None = None):
        self.mode = mode

    def __call__(self, pic: Picture) -> Any:
        from PIL import Image

        if is_pil(pic):
            raise TypeError("ToPILImage: the picture is a PIL image already")
        a = array_of(pic, "ToPILImage")
        a = a[0] if a.ndim == 3 and len(a) == 1 else a
        if a.ndim > 3 or (a.ndim == 3 and len(a) not in (2, 3, 4)):
            raise ValueError(f"ToPILImage: a picture has 1 to 4 channels, this one is of shape {tuple(pic.shape)}")
        if a.dtype != np.uint8:
            a = (a.clip(0, 1) * 255).round().astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(a if a.ndim == 2 else a.transpose(1, 2, 0)))
        return image if self.mode is None else image.convert(self.mode)


class Normalize(Transform):
    """y[c] = (x[c] - mean[c]) / std[c], for a floating-point tensor (..., C, H, W)."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f"Normalize: mean and std need a number for each channel, std above 0; got {mean!r} and {std!r}")
        self.mean, self.std = tuple(mean), tuple(std)

    def __call__(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Tensor) or not tensor.dtype.is_floating_point:
            what = tensor.dtype.name if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
            raise TypeError(f"Normalize: a floating-point tensor is expected, not {what}; put ToTensor() before it")
        if tensor.ndim < 3 or tensor.shape[-3] != len(self.mean):
            raise ValueError(f"Normalize: {len(self.mean)} channels are expected in dim -3, but the picture is {tuple(tensor.shape)}")
        mean, std = (tensor.new_tensor(v).reshape(-1, 1, 1) for v in (self.mean, self.std))  # (C, 1, 1)
        return (tensor - mean) / std
