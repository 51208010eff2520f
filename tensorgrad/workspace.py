"""The cap on the scratch memory of one operation."""
from __future__ import annotations

_limit = 64 << 20


def set_workspace_limit(bytes: int) -> None:
    """Allow an operation at most this much scratch memory beside its inputs and outputs (64 MB unless set).

    Kernels that can work in pieces use smaller pieces under a smaller limit; none grows with the image or the batch.
    """
    global _limit
    if isinstance(bytes, bool) or not isinstance(bytes, int) or bytes < 1 << 20:
        raise ValueError(f"set_workspace_limit: expected a number of bytes of at least 1048576 (1 MB), got {bytes!r}")
    _limit = bytes


def get_workspace_limit() -> int:
    """The most bytes of scratch memory an operation takes."""
    return _limit
