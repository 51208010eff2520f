"""Writing a file so that at every moment either the old or the new one is there, whole.

The bytes go to a temporary file in the same folder, which is flushed to disk and then renamed over the target. After a kill
the former file is as it was; at worst a `.NAME.*.tmp` lies beside it.
"""
from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from typing import Any

Chunk = bytes | bytearray | memoryview


def write_atomic(path: str | os.PathLike[str], chunks: Iterable[Chunk]) -> None:
    """Replace the file at `path` by the chunks, or leave it as it was and raise OSError."""
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(6)}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(fd, "wb") as f:
                for chunk in chunks:
                    f.write(chunk)
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)
    except OSError as e:
        kept = "the former file is unchanged" if os.path.exists(target) else "nothing was written"
        raise type(e)(e.errno, f"cannot write {os.fspath(path)!r}: {e.strerror}; {kept}") from e


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable."""
    fd: Any = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
