"""`tg.save` and `tg.load`: tensors and plain data in files. Nothing is ever unpickled.

What is saved is a .safetensors file, whatever its name (`safetensors`); what is loaded may be one of PyTorch's as well (`pytorch`).
"""
from __future__ import annotations

import io
import os
import pickle
from typing import Any, BinaryIO

from ..atomic import write_atomic
from ..device import device as Device
from ..tensor import as_device
from . import safetensors

Path = str | os.PathLike[str]


def save(obj: Any, f: Path | BinaryIO) -> None:
    """Write `obj` as a safetensors file to a path, or to something with `write`. The file at a path is replaced as a whole, or stays
    as it was.

    `obj` is a tensor, or tensors in any nesting of dicts, lists and tuples with numbers, strings, bools and None. Tensors come back as
    plain tensors and dicts of any class as dicts. `python -m tensorgrad.convert` makes a file of PyTorch's of it.

    TypeError names the place of what cannot be stored: `optimizer.state[0].foo: a function cannot be saved`.
    """
    chunks = safetensors.write(obj)
    if isinstance(f, (str, os.PathLike)):
        write_atomic(f, chunks)
    else:
        for chunk in chunks:
            f.write(chunk)


def load(f: Path | BinaryIO, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read a file that `tg.save` or `torch.save` wrote, its tensors onto the device `map_location` (the CPU by default); they are plain
    tensors without history.

    A safetensors file of another program gives a dict of its tensors. Of PyTorch's files (.pt, .pth: a zip archive with a pickle) nothing
    is executed: tensors, numbers, strings and plain containers are read, everything else is refused by name. ValueError names the
    file and says what was found and expected where it is cut off, changed or of another kind.
    """
    if not weights_only:
        raise ValueError("load: weights_only=False would run the code that a pickle names; it is never done here")
    if map_location is not None and not isinstance(map_location, (str, Device)):
        raise TypeError(f"load: map_location must be a device or its name, not a {type(map_location).__name__}")
    where = as_device(map_location)
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as opened:
            return _read(opened, os.fspath(f), where)
    name = getattr(f, "name", "the stream")
    return _read(f if f.seekable() else io.BytesIO(f.read()), name, where)


def _read(f: BinaryIO, name: str, device: Any) -> Any:
    def wrong(found: str) -> ValueError:
        return ValueError(f"load: {name!r}: {found}")

    begin = f.tell()
    size = f.seek(0, io.SEEK_END) - begin
    f.seek(begin)
    head = f.read(8)
    f.seek(begin)
    if 8 + int.from_bytes(head, "little") > size:  # not the length of a safetensors header, with which such a file begins
        if head[:4] == b"PK\x03\x04":
            from . import pytorch  # few programs need it

            return pytorch.read(f, wrong, device)
        if head[:1] == b"\x80" and head[1] <= pickle.HIGHEST_PROTOCOL:
            raise wrong("this is a pickle, such as PyTorch wrote before 1.6, and is not opened, for it could run any code; load it "
                        "there, and save it again")
    return safetensors.read(f, size, wrong, device)
