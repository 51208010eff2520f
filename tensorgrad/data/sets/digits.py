"""`digits`: 1797 handwritten digits of 8 x 8 pixels, in the package (see digits.NOTICE). A fifth is held out for the test."""
from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from ...errors import UserError
from . import ImageSet, held_out

FILE = Path(__file__).with_name("digits.csv.gz")


def load(rest: str = "") -> ImageSet:
    """The set: 1293 images to train on, 144 to watch, 360 held out."""
    if rest:
        raise UserError(f"data 'digits:{rest}': the set digits takes nothing behind a colon")
    with gzip.open(FILE, "rt") as f:
        rows = np.loadtxt(f, np.uint8, delimiter=",")  # 64 pixels, label
    images, labels = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
    learn, test = held_out(images, labels, 360)
    train, val = held_out(*learn, 144)
    return ImageSet("digits", train, val, test, 16.0, [str(d) for d in range(10)], list(range(10)))
