"""`python -m tensorgrad.convert IN OUT`: from a file of PyTorch's to a safetensors file, and the other way round.

The ending of OUT says which: `.safetensors`, or `.pt`, `.pth`, `.bin` for PyTorch's archive, which `torch.load` reads. IN is told by
its contents, and nothing in it is executed.
"""
from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from .atomic import write_atomic
from .errors import UserError
from .serialization import load, save

_PIECE = 1 << 24
ENDINGS = (".pt", ".pth", ".bin")


def convert(source: str, target: str) -> None:
    """Read `source` and write what it holds to `target`, in the format that the ending of `target` names. The file at `target` is
    replaced as a whole, or stays as it was."""
    ending = os.path.splitext(target)[1].lower()
    if ending not in (".safetensors", *ENDINGS):
        raise UserError(f"convert: {target!r} ends with {ending!r}; expected .safetensors, or {', '.join(ENDINGS)} for a file of PyTorch's")
    try:
        obj = load(source)
    except ValueError as e:
        raise UserError(str(e)) from None
    if ending == ".safetensors":
        save(obj, target)
        return
    from .serialization import pytorch

    with tempfile.TemporaryFile() as f:
        pytorch.write(obj, f)
        f.seek(0)
        write_atomic(target, _pieces(f))


def _pieces(f: BinaryIO) -> Iterator[bytes]:
    while piece := f.read(_PIECE):
        yield piece


if __name__ == "__main__":
    from .cli import main

    main(["convert", *sys.argv[1:]])
