"""Sets of labelled images, one module each: `load_images("digits")`, `"mnist"`, `"csv:train.csv"`, `"idx:FOLDER"`, or just a folder.

A module here is a name that `--data` knows; its `load(rest)` gets what stands behind the colon and returns an `ImageSet`.
"""
from __future__ import annotations

import hashlib
import importlib
import pkgutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import UserError

NAMES = sorted(m.name for m in pkgutil.iter_modules(__path__))
Part = tuple[np.ndarray, np.ndarray]  # images (N, H, W), labels (N,) int64


@dataclass
class ImageSet:
    """Grey images and their classes, in three parts that share no image.

    Pixels run from 0 (background) to `top`. `classes` names class 0, 1, ...; `labels` gives the label each has in the file.
    """

    name: str
    train: Part
    val: Part
    test: Part
    top: float
    classes: list[str]
    labels: list[int] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.train[0].shape[1:]

    def fingerprint(self) -> str:
        """A hash of all images and labels, by which a resumed run knows its data again."""
        h = hashlib.blake2b(digest_size=16)
        for images, labels in (self.train, self.val, self.test):
            h.update(f"{images.shape} {images.dtype}".encode())
            h.update(np.ascontiguousarray(images).data)
            h.update(np.ascontiguousarray(labels).data)
        return h.hexdigest()

    def statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of the training pixels, on a scale from 0 to 1."""
        images, total, square = self.train[0], 0.0, 0.0
        for start in range(0, len(images), 4096):
            x = images[start : start + 4096].astype(np.float64)
            total, square = total + x.sum(), square + (x * x).sum()
        mean = total / images.size
        return float(mean / self.top), float(max(square / images.size - mean * mean, 0.0) ** 0.5 / self.top)


def load_images(spec: str) -> ImageSet:
    """The set that `spec` names; UserError says which there are."""
    if not spec:
        raise UserError("data: the name of a set, csv:FILE or a folder is expected, and it is empty")
    name, _, rest = spec.partition(":")
    if name in NAMES:  # also where a folder has this name: ./mnist or idx:mnist means the folder
        return importlib.import_module(f"{__name__}.{name}").load(rest)
    if Path(spec).is_dir():
        return importlib.import_module(f"{__name__}.idx").load(spec)
    hint = f"; for a CSV file write csv:{spec}" if Path(spec).is_file() else ""
    raise UserError(f"data {spec!r}: no such set and no such folder{hint} (there are: digits, mnist, fashion_mnist, csv:FILE, or a folder "
                    "with IDX files)")


def held_out(images: np.ndarray, labels: np.ndarray, count: int) -> tuple[Part, Part]:
    """(the rest, `count` images held out). The choice hangs on each image's content alone: no seed, no order, always the same."""
    keys = [zlib.crc32(image.tobytes()) for image in np.ascontiguousarray(images)]
    order = np.argsort(np.array(keys, np.uint32), kind="stable")
    rest, out = np.sort(order[count:]), np.sort(order[:count])
    return (images[rest], labels[rest]), (images[out], labels[out])


def as_classes(source: str, known: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels of the file as classes 0, 1, ...: their places among the `known` ones; UserError for one that is not known."""
    places = np.minimum(np.searchsorted(known, labels), len(known) - 1)
    strange = np.flatnonzero(known[places] != labels)
    if len(strange):
        i = int(strange[0])
        raise UserError(f"{source}: image {i + 1} has label {labels[i]}, which no training image has")
    return places.astype(np.int64)
