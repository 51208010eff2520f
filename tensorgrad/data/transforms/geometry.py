"""Where pixels lie: crop, pad, flip, resize, rotate, shift, scale, shear."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import draw
from .compose import Transform
from .pictures import MODES, Picture, affine, crop, flip, pad, resize, rotation_and_more, size_of

Sizes = int | Sequence[int]
_PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def _pair(size: Sizes, who: str) -> tuple[int, int]:
    """(height, width); one number is a square."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    pair = pair * 2 if len(pair) == 1 else pair
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(f"{who}: the size must be a positive int, or two, height and width; got {size!r}")
    return pair  # type: ignore[return-value]


def _mode(interpolation: str, who: str) -> str:
    if interpolation not in MODES:
        raise ValueError(f"{who}: interpolation must be one of {', '.join(MODES)}, got {interpolation!r}")
    return interpolation


def _range(value: float | Sequence[float], who: str, name: str) -> tuple[float, float]:
    """(low, high); one number is -it to +it."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"{who}: {name} as one number must not be negative, got {value}")
        return -value, value
    if len(value) != 2 or value[0] > value[1]:
        raise ValueError(f"{who}: {name} must be a number, or two in order, got {value!r}")
    return value[0], value[1]


def _sides(padding: Sizes, who: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) from one number, (left and right, top and bottom), or all four."""
    p = (padding,) * 4 if isinstance(padding, int) else tuple(padding) * (2 if len(padding) == 2 else 1)
    if len(p) != 4 or not all(isinstance(n, int) and n >= 0 for n in p):
        raise ValueError(f"{who}: padding must be one, two or four ints, none negative; got {padding!r}")
    return p  # type: ignore[return-value]


class Pad(Transform):
    """Rows and columns around the picture: one number, (left and right, top and bottom), or (left, top, right, bottom)."""

    def __init__(self, padding: Sizes, fill: float = 0, padding_mode: str = "constant"):
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"Pad: padding_mode must be one of {', '.join(_PADDING_MODES)}, got {padding_mode!r}")
        self.padding, self.fill, self.padding_mode = _sides(padding, "Pad"), fill, padding_mode

    def __call__(self, img: Picture) -> Picture:
        return pad(img, self.padding, self.fill, self.padding_mode)


class Resize(Transform):
    """To (height, width); one number is the length of the shorter side (the longer at most `max_size`), the shape is kept.

    Shrinking is antialiased (Pillow's filters), except by `nearest`.
    """

    def __init__(self, size: Sizes, interpolation: str = "bilinear", max_size: int | None = None):
        if max_size is not None and (not isinstance(size, int) or max_size <= size):
            raise ValueError(f"Resize: max_size goes with one size, and above it; got size {size!r} and max_size {max_size}")
        self.size: Any = size if isinstance(size, int) and _pair(size, "Resize") else _pair(size, "Resize")
        self.interpolation, self.max_size = _mode(interpolation, "Resize"), max_size

    def __call__(self, img: Picture) -> Picture:
        if not isinstance(self.size, int):
            return resize(img, self.size, self.interpolation)
        height, width = size_of(img, "Resize")
        short, long = min(height, width), max(height, width)
        new_short, new_long = self.size, int(self.size * long / short)
        if self.max_size is not None and new_long > self.max_size:
            new_short, new_long = int(self.max_size * new_short / new_long), self.max_size
        return resize(img, (new_long, new_short) if height > width else (new_short, new_long), self.interpolation)


class CenterCrop(Transform):
    """The middle of the picture; where that is smaller, it is padded with 0."""

    def __init__(self, size: Sizes):
        self.size = _pair(size, "CenterCrop")

    def __call__(self, img: Picture) -> Picture:
        height, width = size_of(img, "CenterCrop")
        return crop(img, round((height - self.size[0]) / 2), round((width - self.size[1]) / 2), *self.size, who="CenterCrop")


class RandomCrop(Transform):
    """A rectangle of `size` at a random place, after `padding`; `pad_if_needed` pads pictures that are too small."""

    def __init__(self, size: Sizes, padding: Sizes | None = None, pad_if_needed: bool = False, fill: float = 0,
                 padding_mode: str = "constant"):
        self.size = _pair(size, "RandomCrop")
        self.padding, self.pad_if_needed = None if padding is None else _sides(padding, "RandomCrop"), pad_if_needed
        self.fill, self.padding_mode = fill, Pad(0, fill, padding_mode).padding_mode

    def __call__(self, img: Picture) -> Picture:
        if self.padding is not None:
            img = pad(img, self.padding, self.fill, self.padding_mode, "RandomCrop")
        height, width = size_of(img, "RandomCrop")
        short = max(self.size[0] - height, 0), max(self.size[1] - width, 0)
        if any(short):
            if not self.pad_if_needed:
                raise ValueError(f"RandomCrop: {self.size[0]} x {self.size[1]} do not fit into a picture of {height} x {width}; "
                                 "pad_if_needed=True pads it")
            img = pad(img, (short[1], short[0], short[1], short[0]), self.fill, self.padding_mode, "RandomCrop")
            height, width = size_of(img, "RandomCrop")
        top, left = draw.integer(0, height - self.size[0] + 1), draw.integer(0, width - self.size[1] + 1)
        return crop(img, top, left, *self.size, who="RandomCrop")


class RandomResizedCrop(Transform):
    """A rectangle with a random share of the area, in `scale`, and a random width / height, in `ratio`, resized to `size`.

    Szegedy et al., "Going deeper with convolutions", 2015, section 6. Where ten draws do not fit, the largest middle part that does.
    """

    def __init__(self, size: Sizes, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3),
                 interpolation: str = "bilinear"):
        self.size = _pair(size, "RandomResizedCrop")
        self.scale, self.ratio = _range(scale, "RandomResizedCrop", "scale"), _range(ratio, "RandomResizedCrop", "ratio")
        if self.scale[0] <= 0 or self.ratio[0] <= 0:
            raise ValueError(f"RandomResizedCrop: scale and ratio must be above 0, got {scale!r} and {ratio!r}")
        self.interpolation = _mode(interpolation, "RandomResizedCrop")

    def __call__(self, img: Picture) -> Picture:
        return resize(crop(img, *self._place(*size_of(img, "RandomResizedCrop")), who="RandomResizedCrop"), self.size, self.interpolation)

    def _place(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = rows * columns * draw.uniform(*self.scale)
            ratio = math.exp(draw.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < height <= rows and 0 < width <= columns:
                return draw.integer(0, rows - height + 1), draw.integer(0, columns - width + 1), height, width
        ratio = min(max(columns / rows, self.ratio[0]), self.ratio[1])
        height, width = min(rows, max(1, round(columns / ratio))), min(columns, max(1, round(rows * ratio)))
        return (rows - height) // 2, (columns - width) // 2, height, width


class RandomHorizontalFlip(Transform):
    """Left and right swapped with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = draw.probability(p, "RandomHorizontalFlip")

    def __call__(self, img: Picture) -> Picture:
        return flip(img, -1, "RandomHorizontalFlip") if draw.chance(self.p) else img


class RandomVerticalFlip(Transform):
    """Top and bottom swapped with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = draw.probability(p, "RandomVerticalFlip")

    def __call__(self, img: Picture) -> Picture:
        return flip(img, -2, "RandomVerticalFlip") if draw.chance(self.p) else img


class RandomAffine(Transform):
    """A random turn of `degrees`, shift of `translate` (the most, as shares of width and height), `scale` (lowest, highest) and `shear` in
    degrees (in x; or x lowest, highest; or x and y, lowest and highest each), about `center` (x, y), the middle by default."""

    def __init__(self, degrees: float | Sequence[float], translate: Sequence[float] | None = None, scale: Sequence[float] | None = None,
                 shear: float | Sequence[float] | None = None, interpolation: str = "nearest", fill: Any = 0,
                 center: Sequence[float] | None = None):
        who = type(self).__name__
        self.degrees = _range(degrees, who, "degrees")
        if translate is not None and (len(translate) != 2 or not all(0 <= t <= 1 for t in translate)):
            raise ValueError(f"{who}: translate must be two shares between 0 and 1, of the width and the height; got {translate!r}")
        if scale is not None and _range(scale, who, "scale")[0] <= 0:
            raise ValueError(f"{who}: scale must be above 0, got {scale!r}")
        self.translate, self.scale = translate, scale
        if shear is None or isinstance(shear, (int, float)) or len(shear) != 4:
            self.shear = None if shear is None else (*_range(shear, who, "shear"), 0.0, 0.0)
        else:
            self.shear = (*_range(shear[:2], who, "shear"), *_range(shear[2:], who, "shear"))
        self.interpolation, self.fill, self.center = _mode(interpolation, who), fill, center

    def __call__(self, img: Picture) -> Picture:
        who = type(self).__name__
        height, width = size_of(img, who)
        angle = draw.uniform(*self.degrees)
        most = (0, 0) if self.translate is None else self.translate
        shift = [round(draw.uniform(-share, share) * n) for share, n in zip(most, (width, height), strict=True)]
        scale = 1.0 if self.scale is None else draw.uniform(*self.scale)
        shear = (0.0, 0.0) if self.shear is None else (draw.uniform(*self.shear[:2]), draw.uniform(*self.shear[2:]))
        inverse = rotation_and_more(img, angle, shift, scale, shear, self.center, who)
        return affine(img, inverse, self.interpolation, self.fill, who)


class RandomRotation(RandomAffine):
    """A random turn of -`degrees` to `degrees`, or between two angles, about `center` (x, y), the middle by default.

    `expand` makes the result large enough for the whole picture."""

    def __init__(self, degrees: float | Sequence[float], interpolation: str = "nearest", expand: bool = False,
                 center: Sequence[float] | None = None, fill: Any = 0):
        super().__init__(degrees, interpolation=interpolation, fill=fill, center=center)
        if expand and center is not None:
            raise ValueError("RandomRotation: expand turns about the middle; center cannot go with it")
        self.expand = expand

    def __call__(self, img: Picture) -> Picture:
        height, width = size_of(img, "RandomRotation")
        angle = draw.uniform(*self.degrees)
        inverse = rotation_and_more(img, angle, (0, 0), 1.0, (0, 0), self.center, "RandomRotation")
        if not self.expand:
            return affine(img, inverse, self.interpolation, self.fill, "RandomRotation")
        c, s = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
        rows, columns = math.ceil(width * s + height * c - 1e-6), math.ceil(width * c + height * s - 1e-6)
        for k in (0, 3):  # the middle of the larger frame is the middle of the picture
            inverse[k + 2] += inverse[k] * (width - columns) / 2 + inverse[k + 1] * (height - rows) / 2
        return affine(img, inverse, self.interpolation, self.fill, "RandomRotation", (rows, columns))
