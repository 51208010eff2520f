"""How many threads the CPU kernels use."""
from __future__ import annotations

from .backends import cpu


def set_num_threads(n: int) -> None:
    """Use `n` threads in tensorgrad's kernels and in the BLAS behind NumPy, from now on.

    At start both follow `OMP_NUM_THREADS`, or use all cores. Results do not depend on the number of threads.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"set_num_threads: expected a positive integer, got {n!r}")
    if n > cpu.MOST_THREADS:
        raise ValueError(f"set_num_threads: at most {cpu.MOST_THREADS} threads can be had, got {n}")
    cpu.ext.set_num_threads(n)
    from threadpoolctl import threadpool_limits  # looks at every loaded library: only when asked for

    threadpool_limits(limits=n, user_api="blas")


def get_num_threads() -> int:
    """The number of threads tensorgrad's kernels use."""
    return int(cpu.ext.get_num_threads())
