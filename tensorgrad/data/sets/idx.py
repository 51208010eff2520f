"""`idx:FOLDER`, or just a folder: images and labels in four IDX files with MNIST's names, plain or gzipped.

IDX: a big-endian header (two zero bytes, element type, number of dimensions; then each size as uint32) and the elements.
http://yann.lecun.com/exdb/mnist/
"""
from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import UserError
from . import ImageSet, as_classes, held_out

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
KINDS = {3: "images", 1: "labels"}


def load(rest: str) -> ImageSet:
    """The set in a folder."""
    folder = Path(rest)
    if not rest or not folder.is_dir():
        raise UserError(f"data 'idx:{rest}': a folder with IDX files is expected behind the colon" + (f"; {rest} is none" if rest else ""))
    return from_files(str(folder), [_read(folder, stem) for stem in FILES])


def from_files(name: str, files: list[tuple[str, bytes]]) -> ImageSet:
    """The set made of (name, content) of the four files."""
    parts = []
    for (image_file, image_bytes), (label_file, label_bytes) in (files[:2], files[2:]):
        images, labels = parse(image_file, image_bytes, 3), parse(label_file, label_bytes, 1)
        if len(images) != len(labels):
            raise UserError(f"{label_file}: {len(labels)} labels, but {image_file} has {len(images)} images")
        if len(images) < 2 or 0 in images.shape:
            raise UserError(f"{image_file}: images of shape {images.shape}; at least two images of one pixel are needed")
        parts.append((images, labels.astype(np.int64)))
    learn, (images, labels) = parts
    if learn[0].shape[1:] != images.shape[1:]:
        raise UserError(f"{files[2][0]}: images of {_by(images)} pixels, but those of {files[0][0]} have {_by(learn[0])}")
    known = np.unique(learn[1])
    train, val = held_out(learn[0], as_classes(files[1][0], known, learn[1]), min(5000, -(-len(learn[0]) // 12)))
    test = images, as_classes(files[3][0], known, labels)
    return ImageSet(name, train, val, test, 255.0, [str(k) for k in known], known.tolist())


def parse(name: str, content: bytes, ndim: int) -> np.ndarray:
    """The uint8 array in an IDX file; UserError names the file, what was found and what was expected."""
    magic, header = bytes((0, 0, 8, ndim)), 4 + 4 * ndim
    if len(content) >= 4 and content[:4] != magic:
        raise UserError(f"{name}: starts with the bytes {content[:4].hex(' ')}; IDX {KINDS[ndim]} start with {magic.hex(' ')}")
    if len(content) < header:
        raise UserError(f"{name}: is cut short: {len(content)} bytes, the header alone has {header}")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", ndim, offset=4))
    expected = header
    for i, n in enumerate(shape):
        expected = header + n if i == 0 else header + (expected - header) * n
    if len(content) != expected:
        what = "is cut short" if len(content) < expected else "is too long"
        raise UserError(f"{name}: {what}: {len(content)} bytes, but its header says {' x '.join(map(str, shape))}, which takes {expected}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def gunzip(name: str, content: bytes) -> bytes:
    """What a gzip file holds; UserError where it is damaged."""
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as e:
        raise UserError(f"{name}: is not a whole gzip file ({e}); copy or download it again") from None


def _read(folder: Path, stem: str) -> tuple[str, bytes]:
    openers: list[tuple[str, Callable[[str, bytes], bytes]]] = [("", lambda _, b: b), (".gz", gunzip)]
    tried = [(folder / (name + ending), opener) for name in (stem, stem.replace("-idx", ".idx")) for ending, opener in openers]
    for path, opener in tried:
        if path.is_file():
            return str(path), opener(str(path), path.read_bytes())
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
    raise UserError(f"{folder}: there is no {stem} or {stem}.gz; a folder of IDX files holds {', '.join(FILES)} (found: {found})")


def _by(images: np.ndarray) -> str:
    return " x ".join(map(str, images.shape[1:]))
