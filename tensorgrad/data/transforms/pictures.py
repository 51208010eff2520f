"""What a picture is to the transforms, and the few things that are done to one.

A picture is a PIL image; a NumPy array (H, W) or (H, W, C), as PIL's; or a tensor (..., H, W), as networks take it. Arrays and tensors
are uint8, 0 to 255, or float32, whose white is 1. What comes in comes out: same kind, same dtype. Resampling is Pillow's, on each plane
by itself. Tensors must be on the CPU. Coordinates have their origin at the top left corner of the top left pixel.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...tensor import Tensor, wrap

Picture = Any  # PIL.Image.Image | np.ndarray | Tensor
MODES = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}  # Pillow's numbers


def is_pil(picture: Picture) -> bool:
    """Whether it is a PIL image (without importing Pillow for it)."""
    return hasattr(picture, "getbands")


def array_of(picture: Picture, who: str) -> np.ndarray:
    """The picture's pixels with height and width last, (..., H, W); a view, where it can be."""
    if isinstance(picture, Tensor):
        if picture.ndim < 2:
            raise ValueError(f"{who}: a tensor (..., H, W) is expected, not one of shape {tuple(picture.shape)}")
        if picture.device.type not in ("cpu", "emu"):
            raise ValueError(f"{who}: pictures are worked on in the processor's memory; this tensor is on {picture.device}")
        a = picture.detach().numpy()
    elif is_pil(picture):
        a = np.asarray(picture)
        a = a.astype(np.uint8) * np.uint8(255) if a.dtype == bool else a
        return a if a.ndim == 2 else a.transpose(2, 0, 1)
    elif isinstance(picture, np.ndarray) and picture.ndim in (2, 3):
        a = picture if picture.ndim == 2 else picture.transpose(2, 0, 1)
    else:
        what = f"an array of shape {picture.shape}" if isinstance(picture, np.ndarray) else f"a {type(picture).__name__}"
        raise TypeError(f"{who}: a picture is expected: a PIL image, an array (H, W) or (H, W, C), or a tensor (..., H, W); not {what}")
    if a.dtype not in (np.uint8, np.float32):
        raise TypeError(f"{who}: a picture is uint8 (0 to 255) or float32 (0 to 1), not {a.dtype}")
    return a


def like(a: np.ndarray, picture: Picture) -> Picture:
    """Pixels (..., H, W) as a picture of the same kind."""
    if isinstance(picture, Tensor):
        return wrap(np.ascontiguousarray(a), picture.device)
    a = a if a.ndim == 2 else a.transpose(1, 2, 0)
    if is_pil(picture):
        from PIL import Image

        return Image.fromarray(np.ascontiguousarray(a), "L" if picture.mode == "1" else picture.mode)
    return np.ascontiguousarray(a)


def size_of(picture: Picture, who: str) -> tuple[int, int]:
    """(height, width)."""
    if is_pil(picture):
        return picture.height, picture.width
    height, width = array_of(picture, who).shape[-2:]
    return height, width


def white(picture: Picture) -> float:
    """The value of a full pixel."""
    return 1.0 if not is_pil(picture) and array_of(picture, "transforms").dtype == np.float32 else 255.0


def by_planes(picture: Picture, who: str, function: Callable[[Any], Any]) -> Picture:
    """Apply a function of PIL images: to a PIL image as it is, else to each plane."""
    if is_pil(picture):
        return function(picture)
    from PIL import Image

    a = array_of(picture, who)
    made = [np.asarray(function(Image.fromarray(np.ascontiguousarray(plane)))) for plane in a.reshape(-1, *a.shape[-2:])]
    return like(np.stack(made).reshape(*a.shape[:-2], *made[0].shape), picture)


def pixels(value: Any, picture: Picture) -> Any:
    """A number, or one for each channel, as a fill for this picture in PIL's terms."""
    if isinstance(value, (int, float)):
        return (value,) * len(picture.getbands()) if is_pil(picture) and len(picture.getbands()) > 1 else value
    if not is_pil(picture):
        raise ValueError("a fill of several numbers needs a PIL image; arrays and tensors are filled plane by plane with one number")
    return tuple(value)


def crop(picture: Picture, top: int, left: int, height: int, width: int, who: str = "crop") -> Picture:
    """The rectangle; what lies outside the picture is 0."""
    if is_pil(picture):
        return picture.crop((left, top, left + width, top + height))
    a = array_of(picture, who)
    rows, columns = a.shape[-2:]
    inside = a[..., max(top, 0):max(top + height, 0), max(left, 0):max(left + width, 0)]
    if top < 0 or left < 0 or top + height > rows or left + width > columns:
        frame = np.zeros((*a.shape[:-2], height, width), a.dtype)
        frame[..., max(-top, 0):max(-top, 0) + inside.shape[-2], max(-left, 0):max(-left, 0) + inside.shape[-1]] = inside
        inside = frame
    return like(inside, picture)


def pad(picture: Picture, padding: Sequence[int], fill: float, mode: str, who: str = "Pad") -> Picture:
    """`padding` is (left, top, right, bottom); `mode` is constant, edge, reflect or symmetric, as in `numpy.pad`."""
    left, top, right, bottom = padding
    a = array_of(picture, who)
    extra = {"constant_values": fill} if mode == "constant" else {}
    return like(np.pad(a, [(0, 0)] * (a.ndim - 2) + [(top, bottom), (left, right)], mode, **extra), picture)  # type: ignore[call-overload]


def flip(picture: Picture, axis: int, who: str = "flip") -> Picture:
    """Mirrored: axis -1 swaps left and right, -2 top and bottom."""
    if is_pil(picture):
        return picture.transpose(0 if axis == -1 else 1)  # Pillow's FLIP_LEFT_RIGHT and FLIP_TOP_BOTTOM
    return like(np.flip(array_of(picture, who), axis), picture)


def resize(picture: Picture, size: tuple[int, int], mode: str, who: str = "Resize") -> Picture:
    """To (height, width), antialiased when it shrinks (except by `nearest`)."""
    return by_planes(picture, who, lambda p: p.resize((size[1], size[0]), MODES[mode]))


def affine(picture: Picture, inverse: Sequence[float], mode: str, fill: Any, who: str, size: tuple[int, int] | None = None) -> Picture:
    """The pixel at (x, y) comes from (a x + b y + c, d x + e y + f) of the picture, `inverse` = a to f; outside lies `fill`."""
    height, width = size or size_of(picture, who)
    return by_planes(picture, who, lambda p: p.transform((width, height), 0, tuple(inverse), MODES[mode], fillcolor=pixels(fill, picture)))


def rotation_and_more(picture: Picture, angle: float, translate: Sequence[float], scale: float, shear: Sequence[float],
                      center: Sequence[float] | None, who: str) -> list[float]:
    """What `affine` takes for: shear by `shear` degrees in x and y, scale, turn by `angle` degrees clockwise, all about the centre (x, y),
    then move by `translate` pixels."""
    height, width = size_of(picture, who)
    cx, cy = center if center is not None else (width / 2, height / 2)
    turn, sx, sy = math.radians(angle), math.tan(math.radians(shear[0])), math.tan(math.radians(shear[1]))
    rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    forward = scale * rotate @ np.array([[1, 0], [-sy, 1]]) @ np.array([[1, -sx], [0, 1]])
    back = np.linalg.inv(forward)
    at = np.array([cx, cy]) - back @ (np.array([cx, cy]) + np.array(translate))
    return [back[0, 0], back[0, 1], at[0], back[1, 0], back[1, 1], at[1]]
