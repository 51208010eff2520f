"""Insisting on kernels that give the same bits every time.

Kernels that do not, since atomics add in whatever order threads come, say so where they are registered (`NOT_DETERMINISTIC`). None of
them is ever a default; they run where `tg.kernels.use` names them.
"""
from __future__ import annotations

from . import dispatch


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Refuse kernels whose results may differ from run to run, with an error that names the op, the kernel and those that will do.

    `warn_only` warns instead and goes on. NoKernel, a RuntimeError, is raised where such a kernel was asked for.
    """
    if not isinstance(mode, bool):
        raise TypeError(f"use_deterministic_algorithms: mode must be True or False, not {mode!r}")
    dispatch.determinism = ("warn" if warn_only else "required") if mode else ""
    dispatch._forget_choices()


def are_deterministic_algorithms_enabled() -> bool:
    """Whether use_deterministic_algorithms(True) holds, be it as an error or as a warning."""
    return bool(dispatch.determinism)


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether it only warns."""
    return dispatch.determinism == "warn"
