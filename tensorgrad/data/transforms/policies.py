"""Automatic augmentation: policies that were searched for, and the two that need no search.

Each step is one of fourteen changes of an 8-bit picture, with a magnitude. AutoAugment's policies are those of Cubuk et al.,
"AutoAugment: learning augmentation policies from data", 2019, tables 7 to 9: 25 pairs of steps, each step a change, its probability
and its level of 0 to 9.
"""
from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from . import draw
from .colour import adjust_brightness, adjust_contrast, adjust_saturation, adjust_sharpness
from .compose import Transform
from .geometry import _mode
from .pictures import Picture, affine, by_planes, is_pil, rotation_and_more, size_of, white


class AutoAugmentPolicy(enum.Enum):
    """For which data a policy was found."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


_POLICIES = {
    "cifar10": """Invert .1 - Contrast .2 6; Rotate .7 2 TranslateX .3 9; Sharpness .8 1 Sharpness .9 3; ShearY .5 8 TranslateY .7 9;
        AutoContrast .5 - Equalize .9 -; ShearY .2 7 Posterize .3 7; Color .4 3 Brightness .6 7; Sharpness .3 9 Brightness .7 9;
        Equalize .6 - Equalize .5 -; Contrast .6 7 Sharpness .6 5; Color .7 7 TranslateX .5 8; Equalize .3 - AutoContrast .4 -;
        TranslateY .4 3 Sharpness .2 6; Brightness .9 6 Color .2 8; Solarize .5 2 Invert 0 -; Equalize .2 - AutoContrast .6 -;
        Equalize .2 - Equalize .6 -; Color .9 9 Equalize .6 -; AutoContrast .8 - Solarize .2 8; Brightness .1 3 Color .7 0;
        Solarize .4 5 AutoContrast .9 -; TranslateY .9 9 TranslateY .7 9; AutoContrast .9 - Solarize .8 3; Equalize .8 - Invert .1 -;
        TranslateY .7 9 AutoContrast .9 -""",
    "imagenet": """Posterize .4 8 Rotate .6 9; Solarize .6 5 AutoContrast .6 -; Equalize .8 - Equalize .6 -; Posterize .6 7 Posterize .6 6;
        Equalize .4 - Solarize .2 4; Equalize .4 - Rotate .8 8; Solarize .6 3 Equalize .6 -; Posterize .8 5 Equalize 1 -;
        Rotate .2 3 Solarize .6 8; Equalize .6 - Posterize .4 6; Rotate .8 8 Color .4 0; Rotate .4 9 Equalize .6 -;
        Equalize 0 - Equalize .8 -; Invert .6 - Equalize 1 -; Color .6 4 Contrast 1 8; Rotate .8 8 Color 1 2; Color .8 8 Solarize .8 7;
        Sharpness .4 7 Invert .6 -; ShearX .6 5 Equalize 1 -; Color .4 0 Equalize .6 -; Equalize .4 - Solarize .2 4;
        Solarize .6 5 AutoContrast .6 -; Invert .6 - Equalize 1 -; Color .6 4 Contrast 1 8; Equalize .8 - Equalize .6 -""",
    "svhn": """ShearX .9 4 Invert .2 -; ShearY .9 8 Invert .7 -; Equalize .6 - Solarize .6 6; Invert .9 - Equalize .6 -;
        Equalize .6 - Rotate .9 3; ShearX .9 4 AutoContrast .8 -; ShearY .9 8 Invert .4 -; ShearY .9 5 Solarize .2 6;
        Invert .9 - AutoContrast .8 -;
        Equalize .6 - Rotate .9 3; ShearX .9 4 Solarize .3 3; ShearY .8 8 Invert .7 -; Equalize .9 - TranslateY .6 6;
        Invert .9 - Equalize .6 -; Contrast .3 3 Rotate .8 4; Invert .8 - TranslateY 0 2; ShearY .7 6 Solarize .4 8;
        Invert .6 - Rotate .8 4; ShearY .3 7 TranslateX .9 3; ShearX .1 6 Invert .6 -; Solarize .7 2 TranslateY .6 7;
        ShearY .8 4 Invert .8 -; ShearX .7 9 TranslateY .8 3; ShearY .8 5 AutoContrast .7 -; ShearX .7 2 Invert .1 -""",
}
_ENHANCE: dict[str, Callable[[Picture, float], Picture]] = {
    "Brightness": adjust_brightness, "Color": adjust_saturation, "Contrast": adjust_contrast, "Sharpness": adjust_sharpness}
_GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_PLAIN = ("Identity", "AutoContrast", "Equalize")


class _Augment(Transform):
    """What the policies share: the changes, and how strong they are at most."""

    shear, turn, enhance, bits = 0.3, 30.0, 0.9, 4  # the angle's tangent, degrees, the factor's distance from 1, bits left of a pixel

    def __init__(self, interpolation: str, fill: Any):
        self.interpolation, self.fill = _mode(interpolation, type(self).__name__), fill

    def __call__(self, img: Picture) -> Picture:
        if not is_pil(img) and white(img) != 255:
            raise TypeError(f"{type(self).__name__}: 8-bit pictures only; put it before ToTensor()")
        return self.augment(img)

    def augment(self, img: Picture) -> Picture:
        raise NotImplementedError

    def shift(self, pixels: int) -> float:
        """The longest way a picture of so many pixels is moved."""
        return 150 / 331 * pixels

    def apply(self, img: Picture, name: str, strength: float) -> Picture:
        """The change `name`; `strength` is its share of the most, 0 to 1, in a random direction where it has two."""
        who = type(self).__name__
        if name == "Identity":
            return img
        if name in _ENHANCE:
            return _ENHANCE[name](img, 1 + self._signed(strength) * self.enhance)
        if name in _GEOMETRY:
            return self._move(img, name, self._signed(strength), who)
        from PIL import ImageOps

        if name == "Posterize":
            return by_planes(img, who, lambda p: ImageOps.posterize(p, 8 - round(strength * (8 - self.bits))))
        if name == "Solarize":
            return by_planes(img, who, lambda p: ImageOps.solarize(p, 256 - round(strength * 256)))
        plain: dict[str, Callable[[Any], Any]] = {"AutoContrast": ImageOps.autocontrast, "Equalize": ImageOps.equalize,
                                                  "Invert": ImageOps.invert}
        return by_planes(img, who, plain[name])

    @staticmethod
    def _signed(strength: float) -> float:
        return strength if draw.chance(0.5) else -strength

    def _move(self, img: Picture, name: str, strength: float, who: str) -> Picture:
        height, width = size_of(img, who)
        if name == "Rotate":
            inverse = rotation_and_more(img, strength * self.turn, (0, 0), 1, (0, 0), None, who)
        elif name.startswith("Translate"):
            by = round(strength * self.shift(width if name[-1] == "X" else height))
            inverse = [1, 0, by, 0, 1, 0] if name[-1] == "X" else [1, 0, 0, 0, 1, by]
        else:  # about the middle
            s = strength * self.shear
            inverse = [1, s, -s * height / 2, 0, 1, 0] if name[-1] == "X" else [1, 0, 0, s, 1, -s * width / 2]
        return affine(img, inverse, self.interpolation, self.fill, who)


class AutoAugment(_Augment):
    """One of a policy's 25 pairs of steps at random, each step with its probability."""

    def __init__(self, policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET, interpolation: str = "nearest", fill: Any = 0):
        super().__init__(interpolation, fill)
        self.policy = AutoAugmentPolicy(policy)
        self._pairs = [pair.split() for pair in _POLICIES[self.policy.value].split(";")]

    def augment(self, img: Picture) -> Picture:
        pair = self._pairs[draw.integer(0, len(self._pairs))]
        for name, p, level in (pair[:3], pair[3:]):
            if draw.chance(float(p)):
                img = self.apply(img, name, 0 if level == "-" else int(level) / 9)
        return img


class RandAugment(_Augment):
    """`num_ops` random changes, all of level `magnitude` out of `num_magnitude_bins`. Cubuk et al., "RandAugment", 2020."""

    def __init__(self, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31, interpolation: str = "nearest", fill: Any = 0):
        super().__init__(interpolation, fill)
        if num_ops < 0 or not 0 <= magnitude < num_magnitude_bins:
            raise ValueError("RandAugment: num_ops must not be negative and magnitude be below num_magnitude_bins; got "
                             f"{num_ops}, {magnitude} and {num_magnitude_bins}")
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def augment(self, img: Picture) -> Picture:
        names = (*_PLAIN, *_GEOMETRY, *_ENHANCE, "Posterize", "Solarize")
        for _ in range(self.num_ops):
            img = self.apply(img, names[draw.integer(0, len(names))], self.magnitude / max(self.num_magnitude_bins - 1, 1))
        return img


class TrivialAugmentWide(_Augment):
    """One random change of a random level. Müller and Hutter, "TrivialAugment", 2021."""

    shear, turn, enhance, bits = 0.99, 135.0, 0.99, 2

    def __init__(self, num_magnitude_bins: int = 31, interpolation: str = "nearest", fill: Any = 0):
        super().__init__(interpolation, fill)
        if num_magnitude_bins < 2:
            raise ValueError(f"TrivialAugmentWide: num_magnitude_bins must be at least 2, got {num_magnitude_bins}")
        self.num_magnitude_bins = num_magnitude_bins

    def shift(self, pixels: int) -> float:
        return 32.0

    def augment(self, img: Picture) -> Picture:
        names = (*_PLAIN, *_GEOMETRY, *_ENHANCE, "Posterize", "Solarize")
        strength = draw.integer(0, self.num_magnitude_bins) / (self.num_magnitude_bins - 1)
        return self.apply(img, names[draw.integer(0, len(names))], strength)
