"""`backends.cuda` on a machine without a GPU: the settings that training scripts make before they look for one."""
from __future__ import annotations


class Matmul:
    """`allow_tf32` is a permission: no kernel rounds to TF32 unless it is asked for by name (`tensorgrad.kernels.use`)."""

    allow_tf32 = False


matmul = Matmul()


def is_built() -> bool:
    """False: the device cuda cannot be used here; `tensorgrad.device("cuda")` says why."""
    return False
