"""`csv:FILE` or `csv:FILE,TESTFILE`: a line per image, `label,pixel1,...,pixelN` with N a square; a header line may come first.

The layout of the sign-language MNIST and many other tables. Labels may be any whole numbers: the ones found, in ascending order,
become classes 0, 1, ...
"""
from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from ...errors import UserError
from . import ImageSet, as_classes, held_out

MAX_LABEL = 9999
CHUNK = 1024  # lines parsed at a time
NUMBER = re.compile(rb"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*\Z")


def load(rest: str) -> ImageSet:
    """The set in a file; without a second file a tenth is held out for the test. A tenth of the others is watched."""
    files = [rest] if Path(rest).is_file() or "," not in rest else rest.split(",", 1)
    if not all(files):
        raise UserError(f"data 'csv:{rest}': a file is expected behind the colon: --data csv:FILE, or csv:FILE,TESTFILE")
    parts = [read(file) for file in files]
    (images, labels), known = parts[0], np.unique(parts[0][1])
    if len(known) < 2:
        raise UserError(f"{files[0]}: all labels are {known[0]}; at least two classes are needed")
    if len(images) < 10:
        raise UserError(f"{files[0]}: {len(images)} rows are too few to train on and to hold some out; at least 10 are needed")
    learn = images, as_classes(files[0], known, labels)
    if len(files) == 2:
        if parts[1][0].shape[1:] != images.shape[1:]:
            raise UserError(f"{files[1]}: {parts[1][0][0].size} pixels a row, but {files[0]} has {images[0].size}")
        test = parts[1][0], as_classes(files[1], known, parts[1][1])
    else:
        learn, test = held_out(*learn, -(-len(images) // 10))
    train, val = held_out(*learn, -(-len(learn[0]) // 10))
    top = 255.0 if max(p[0].max() for p in parts) > 1 else 1.0
    return ImageSet(f"csv:{rest}", train, val, test, top, [str(k) for k in known], known.tolist())


def read(file: str) -> tuple[np.ndarray, np.ndarray]:
    """(images (N, S, S), labels (N,)) of one file; UserError names the bad row and what it holds."""
    try:
        content = Path(file).read_bytes()
    except OSError as e:
        raise UserError(f"{file}: {e.strerror}") from None
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise UserError(f"{file}: is empty; rows 'label,pixel1,...,pixelN' are expected")
    first = numbered[0][1].split(b",")
    names = [f.strip(b' "').lower() for f in first]
    if b"label" in names:
        if names[0] != b"label":
            raise UserError(f"{file}: the first column is {_text(first[0])!r}; the label must come first: label,pixel1,...,pixelN")
        numbered = numbered[1:]
        if not numbered:
            raise UserError(f"{file}: has a header but no rows")
    side = _side(file, len(first) - 1)
    images = np.empty((len(numbered), len(first) - 1), np.float32)
    labels = np.empty(len(numbered), np.int64)
    for start in range(0, len(numbered), CHUNK):
        table = _chunk(file, numbered, start, len(first))
        labels[start : start + CHUNK], images[start : start + CHUNK] = table[:, 0], table[:, 1:]
    if (images == np.floor(images)).all():
        images = images.astype(np.uint8)
    return images.reshape(-1, side, side), labels


def _chunk(file: str, numbered: list[tuple[int, bytes]], start: int, columns: int) -> np.ndarray:
    """The checked numbers of CHUNK lines from `start`."""
    lines = numbered[start : start + CHUNK]
    if all(line.count(b",") == columns - 1 for _, line in lines):
        text = b",".join([line for _, line in lines])
        flat = _whole_numbers(text)
        if flat is None:
            flat = _numbers(text)
        if flat.size == len(lines) * columns:
            table = flat.reshape(-1, columns)
            label, pixels = table[:, 0], table[:, 1:]
            if ((label == np.floor(label)) & (label >= 0) & (label <= MAX_LABEL)).all() and ((pixels >= 0) & (pixels <= 255)).all():
                return table
    for row, (line_number, line) in enumerate(lines, start + 1):
        wrong = _wrong(line, columns)
        if wrong:
            raise UserError(f"{file}: row {row} (line {line_number}): {wrong}, in {_shown(line)}")
    raise UserError(f"{file}: rows {start + 1} to {start + len(lines)} cannot be read as numbers")


def _whole_numbers(text: bytes) -> np.ndarray | None:
    """Comma-separated whole numbers of one to four digits, or None for anything else: array arithmetic, far faster than parsing."""
    characters = np.frombuffer(text + b",", np.uint8)
    digits = characters - np.uint8(ord("0"))  # wraps around: all else becomes more than 9
    ends = np.flatnonzero(characters == ord(","))
    widths = np.diff(ends, prepend=-1) - 1
    if widths.min() < 1 or widths.max() > 4 or (digits > 9).sum() != len(ends):
        return None
    values = digits[ends - 1].astype(np.int64)
    for place in (2, 3, 4):
        some = np.flatnonzero(widths >= place)
        values[some] += digits[ends[some] - place] * np.int64(10 ** (place - 1))
    return values


def _numbers(text: bytes) -> np.ndarray:
    """The numbers of a comma-separated text, up to the first thing that is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's, where the text cannot be read to its end
        try:
            return np.fromstring(text.decode("latin-1"), np.float64, sep=",")
        except ValueError:
            return np.empty(0)


def _wrong(line: bytes, columns: int) -> str | None:
    """What is wrong with a row."""
    fields = line.split(b",")
    if len(fields) != columns:
        return f"{len(fields)} values where {columns} are expected"
    if not (NUMBER.match(fields[0]) and float(fields[0]).is_integer()):
        return f"the label is {_text(fields[0])!r}; a whole number is expected"
    if not 0 <= float(fields[0]) <= MAX_LABEL:
        return f"the label is {_text(fields[0])}; labels lie between 0 and {MAX_LABEL}"
    for i, f in enumerate(fields[1:], 1):
        if not NUMBER.match(f) or not 0 <= float(f) <= 255:
            return f"pixel{i} is {_text(f)!r}; a number from 0 to 255 is expected"
    return None


def _side(file: str, pixels: int) -> int:
    """The side of the square image."""
    if pixels == 0:
        raise UserError(f"{file}: there is no comma in its first line; expected is label,pixel1,...,pixelN")
    side = round(pixels**0.5)
    if side * side != pixels:
        raise UserError(f"{file}: {pixels + 1} columns are a label and {pixels} pixels, which are no square image "
                        f"({side} x {side} would be {side * side}); expected label,pixel1,...,pixelN")
    return side


def _text(field: bytes) -> str:
    return field.strip().decode("utf-8", "backslashreplace")[:40]


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else text[:57] + "...")
