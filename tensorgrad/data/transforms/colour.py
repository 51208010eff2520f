"""What pixels look like: brightness, contrast, saturation, hue, sharpness, grey, blurred, erased.

Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). Changing by a factor blends with what factor 0 gives: black, the mean grey, the
grey picture.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import draw
from .compose import Transform
from .pictures import Picture, array_of, by_planes, is_pil, like, white

_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def _floats(img: Picture, who: str) -> np.ndarray:
    """(..., C, H, W) float32 copy in the picture's own range, of 1 or 3 channels."""
    if is_pil(img) and img.mode not in ("L", "RGB"):
        raise ValueError(f"{who}: a picture in mode L or RGB is expected, not {img.mode}; .convert('RGB') makes one")
    a = array_of(img, who).astype(np.float32)
    a = a[None] if a.ndim == 2 else a
    if a.shape[-3] not in (1, 3):
        raise ValueError(f"{who}: a picture of 1 or 3 channels is expected, not {a.shape[-3]}")
    return a


def _back(a: np.ndarray, img: Picture, who: str) -> Picture:
    """Floats clipped to the picture's range, in its dtype and shape."""
    old = array_of(img, who)
    a = a.clip(0, white(img))
    a = a.round().astype(np.uint8) if old.dtype == np.uint8 else a
    return like(a.reshape(old.shape), img)


def _grey(a: np.ndarray) -> np.ndarray:
    """(..., 1, H, W)."""
    return a if a.shape[-3] == 1 else np.tensordot(a, _GREY, ((-3,), (0,)))[..., None, :, :]


def adjust_brightness(img: Picture, factor: float) -> Picture:
    """factor x."""
    return _back(_floats(img, "adjust_brightness") * factor, img, "adjust_brightness")


def adjust_contrast(img: Picture, factor: float) -> Picture:
    """Each pixel `factor` times as far from the mean of the grey picture."""
    a = _floats(img, "adjust_contrast")
    mean = _grey(a).mean((-3, -2, -1), keepdims=True)
    return _back(mean + factor * (a - mean), img, "adjust_contrast")


def adjust_saturation(img: Picture, factor: float) -> Picture:
    """Each pixel `factor` times as far from its grey."""
    a = _floats(img, "adjust_saturation")
    grey = _grey(a)
    return _back(grey + factor * (a - grey), img, "adjust_saturation")


def adjust_hue(img: Picture, factor: float) -> Picture:
    """The hue turned by `factor` of the circle, in HSV (Smith, "Color gamut transform pairs", 1978); 0.5 is the opposite colour."""
    if not -0.5 <= factor <= 0.5:
        raise ValueError(f"adjust_hue: the factor must be between -0.5 and 0.5, got {factor}")
    a = _floats(img, "adjust_hue")
    if a.shape[-3] == 1:
        return img
    r, g, b = (a[..., k, :, :] for k in range(3))
    top, low = a.max(-3), a.min(-3)
    chroma = np.where(top > low, top - low, 1)
    sector = np.select([top == low, top == r, top == g], [np.zeros_like(r), (g - b) / chroma % 6, (b - r) / chroma + 2],
                       (r - g) / chroma + 4)
    hue = (sector + 6 * factor) % 6
    made = [top - (top - low) * np.clip(np.minimum(k, 4 - k), 0, 1) for k in ((n + hue) % 6 for n in (5, 3, 1))]
    return _back(np.stack(made, -3), img, "adjust_hue")


def adjust_sharpness(img: Picture, factor: float) -> Picture:
    """Blended with a smoothed picture (the middle weighs 5, its eight neighbours 1 each, of 13): 0 is that one, 1 the original, 2
    sharper. Pixels of the border stay."""
    a = _floats(img, "adjust_sharpness")
    smooth = a.copy()
    if min(a.shape[-2:]) > 2:
        near = sum(a[..., 1 + dy:a.shape[-2] - 1 + dy, 1 + dx:a.shape[-1] - 1 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        smooth[..., 1:-1, 1:-1] = (near + 4 * a[..., 1:-1, 1:-1]) / 13
    return _back(smooth + factor * (a - smooth), img, "adjust_sharpness")


class Grayscale(Transform):
    """The grey picture, in 1 channel or, the same, in 3."""

    def __init__(self, num_output_channels: int = 1):
        if num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels!r}")
        self.num_output_channels = num_output_channels

    def __call__(self, img: Picture) -> Picture:
        if is_pil(img):
            grey = img.convert("L")
            return grey if self.num_output_channels == 1 else grey.convert("RGB")
        a = _grey(_floats(img, "Grayscale"))
        a = np.repeat(a, self.num_output_channels, -3)
        return like(a.round().astype(np.uint8) if white(img) == 255 else a, img)


class RandomGrayscale(Transform):
    """The grey picture, in as many channels, with probability `p`."""

    def __init__(self, p: float = 0.1):
        self.p = draw.probability(p, "RandomGrayscale")

    def __call__(self, img: Picture) -> Picture:
        return adjust_saturation(img, 0) if draw.chance(self.p) else img


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed at random, in random order.

    A number v is a factor in [max(0, 1 - v), 1 + v] (of the hue: a turn in [-v, v], at most 0.5), two numbers the range itself.
    """

    def __init__(self, brightness: float | Sequence[float] = 0, contrast: float | Sequence[float] = 0,
                 saturation: float | Sequence[float] = 0, hue: float | Sequence[float] = 0):
        self.brightness = self._factors("brightness", brightness, 1, math.inf)
        self.contrast = self._factors("contrast", contrast, 1, math.inf)
        self.saturation = self._factors("saturation", saturation, 1, math.inf)
        self.hue = self._factors("hue", hue, 0, 0.5)

    @staticmethod
    def _factors(name: str, value: float | Sequence[float], middle: float, most: float) -> tuple[float, float]:
        least = 0 if middle else -most
        low, high = (max(least, middle - value), middle + value) if isinstance(value, (int, float)) else tuple(value)
        if low > high or not least <= low or not high <= most or (isinstance(value, (int, float)) and value < 0):
            raise ValueError(f"ColorJitter: {name} must be a number or a range in [{least}, {most}], got {value!r}")
        return low, high

    def __call__(self, img: Picture) -> Picture:
        steps = [(adjust_brightness, self.brightness), (adjust_contrast, self.contrast), (adjust_saturation, self.saturation),
                 (adjust_hue, self.hue)]
        for k in draw.order(4):
            change, (low, high) = steps[k]
            if low != high or low != (0 if k == 3 else 1):
                img = change(img, draw.uniform(low, high))
        return img


class GaussianBlur(Transform):
    """Blurred with a Gaussian of a deviation in `sigma` pixels (Pillow's approximation by boxes)."""

    def __init__(self, sigma: float | Sequence[float] = (0.1, 2.0)):
        low, high = (sigma, sigma) if isinstance(sigma, (int, float)) else tuple(sigma)
        if not 0 < low <= high:
            raise ValueError(f"GaussianBlur: sigma must be above 0, or a range of such, got {sigma!r}")
        self.sigma = low, high

    def __call__(self, img: Picture) -> Picture:
        from PIL import ImageFilter

        blur = ImageFilter.GaussianBlur(draw.uniform(*self.sigma))
        if is_pil(img) or white(img) == 255:
            return by_planes(img, "GaussianBlur", lambda p: p.filter(blur))
        raise TypeError("GaussianBlur: 8-bit pictures only; put it before ToTensor()")


class RandomErasing(Transform):
    """A rectangle of a random share of the area, in `scale`, and a random height / width, in `ratio`, is overwritten with probability `p`.

    `value` is a number, one for each channel, or "random" for normal noise. Zhong et al., "Random erasing data augmentation", 2020.
    """

    def __init__(self, p: float = 0.5, scale: Sequence[float] = (0.02, 0.33), ratio: Sequence[float] = (0.3, 3.3), value: Any = 0):
        if not 0 <= scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"RandomErasing: scale is a range in [0, 1] and ratio one above 0, got {scale!r} and {ratio!r}")
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: value must be a number, one for each channel, or 'random', got {value!r}")
        self.p, self.scale, self.ratio, self.value = draw.probability(p, "RandomErasing"), tuple(scale), tuple(ratio), value

    def __call__(self, img: Picture) -> Picture:
        if not draw.chance(self.p):
            return img
        a = np.array(array_of(img, "RandomErasing"))
        rows, columns = a.shape[-2:]
        for _ in range(10):
            area, ratio = rows * columns * draw.uniform(*self.scale), math.exp(draw.uniform(*map(math.log, self.ratio)))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if height < rows and width < columns:
                top, left = draw.integer(0, rows - height + 1), draw.integer(0, columns - width + 1)
                part = a[..., top:top + height, left:left + width]
                if isinstance(self.value, str):
                    if a.dtype == np.uint8:
                        raise TypeError("RandomErasing: noise of value='random' needs a floating-point picture; put ToTensor() before it")
                    part[...] = draw.numpy().standard_normal(part.shape)
                else:
                    part[...] = np.reshape(self.value, (-1, 1, 1)) if np.ndim(self.value) else self.value
                break
        return like(a, img)


class Cutout(Transform):
    """A square of side `size` around a random pixel is set to 0; it may reach beyond the border. DeVries and Taylor, "Improved
    regularization of convolutional neural networks with cutout", 2017."""

    def __init__(self, size: int):
        if not isinstance(size, int) or size <= 0:
            raise ValueError(f"Cutout: the size must be a positive int, got {size!r}")
        self.size = size

    def __call__(self, img: Picture) -> Picture:
        a = np.array(array_of(img, "Cutout"))
        top, left = (draw.integer(0, n) - self.size // 2 for n in a.shape[-2:])
        a[..., max(top, 0):max(top + self.size, 0), max(left, 0):max(left + self.size, 0)] = 0
        return like(a, img)
