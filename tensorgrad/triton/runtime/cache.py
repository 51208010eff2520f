"""Machine code on disk: each entry a file of its own in `triton` in the cache folder (`TG_CACHE`, else ~/.cache/tensorgrad).

An entry is there whole or not at all: it is written beside its place and moved there. One that was damaged does not match its checksum
and is made again. Where the folder cannot be written, kernels are compiled in each process, after one warning.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from ...data.fetch import cache_folder

DIGEST = 32  # bytes of SHA-256 at the beginning of an entry
_warned: set[Path] = set()


def folder() -> Path:
    """Where the entries are."""
    return cache_folder() / "triton"


def load(key: str) -> tuple[dict[str, Any], bytes] | None:
    """(what is known of the code, the code), or None where there is no such entry, or none that is whole."""
    try:
        content = (folder() / key).read_bytes()
    except OSError:
        return None
    digest, body = content[:DIGEST], content[DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        return None
    head, _, code = body.partition(b"\n")
    return json.loads(head), code


def store(key: str, about: dict[str, Any], code: bytes) -> None:
    """Keep an entry; whoever else writes it at the same time writes the same."""
    body = json.dumps(about).encode() + b"\n" + code
    place = folder()
    half = None
    try:
        place.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(dir=place, prefix=".half-")
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
        os.replace(half, place / key)
    except OSError as e:
        if half is not None:
            with contextlib.suppress(OSError):
                os.unlink(half)
        if place not in _warned:
            _warned.add(place)
            warnings.warn(f"Triton's kernels cannot be kept in {place} ({e.strerror}), so each process compiles them again; "
                          "TG_CACHE names another folder", stacklevel=2)
