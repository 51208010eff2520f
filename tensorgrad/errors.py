"""Errors that are the caller's to mend."""
from __future__ import annotations


class UserError(ValueError):
    """Something given is wrong: a file, a folder, an option. The message says what was found, what was expected and how to go on.

    The command line prints it as one line, without a traceback, and ends with `exit_code`.
    """

    exit_code = 2


class NoKernel(UserError, NotImplementedError):
    """No kernel takes a call, or not the one that was asked for."""


class OutOfMemoryError(RuntimeError):
    """A device has no memory for a new array. The message says what holds it; arrays that are dropped make room, and work goes on."""


class LinAlgError(RuntimeError):
    """A matrix does not have what was asked of it: an inverse, a Cholesky factor."""
