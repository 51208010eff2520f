"""`fashion_mnist`: 70,000 pieces of clothing in MNIST's format, fetched once from Debian's archive and kept in the cache folder.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""
from __future__ import annotations

import dataclasses

from ...errors import UserError
from ..fetch import Source, fetch, members
from . import ImageSet, idx
from .mnist import WITHOUT

SOURCES = (
    Source("apt", "dataset-fashion-mnist", "0.0~git20200523.55506a9-1", "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
           30_900_652, "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
           "./usr/share/datasets/fashion-mnist/{}.gz"),
)
CLASSES = ["t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def load(rest: str = "") -> ImageSet:
    """The set: 55,000 images to train on, 5,000 to watch, its own 10,000 for the test."""
    if rest:
        raise UserError(f"data 'fashion_mnist:{rest}': the set takes nothing behind a colon; for your own files write --data FOLDER")
    source, path = fetch("fashion_mnist", SOURCES, WITHOUT)
    names = [source.member.format(stem) for stem in idx.FILES]
    files = zip(names, members(path, names), strict=True)
    return dataclasses.replace(idx.from_files("fashion_mnist", [(n, idx.gunzip(n, b)) for n, b in files]), classes=CLASSES)
