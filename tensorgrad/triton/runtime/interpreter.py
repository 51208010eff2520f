"""Triton's interpreter on NumPy arrays: TRITON_INTERPRET=1, which Triton reads when it is imported.

The interpreter expects PyTorch's tensors; the few methods it calls are here. It multiplies bfloat16 as the integers it keeps them in:
`dot` widens them to float32 first, as tensor cores do. Triton 3.6 turns a loop's bounds into numbers in a way that NumPy 2.4 refuses.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter as triton_interpreter
from triton.tools.tensor_descriptor import TensorDescriptor


class HostArray:
    """A NumPy array with the methods of a PyTorch tensor that Triton's interpreter calls. The interpreter works on the memory itself."""

    def __init__(self, array: np.ndarray):
        self.array = array
        self.dtype = array.dtype
        self.shape = array.shape

    def data_ptr(self) -> int:
        return int(self.array.__array_interface__["data"][0])

    def stride(self) -> tuple[int, ...]:
        return tuple(s // self.array.itemsize for s in self.array.strides)

    def size(self) -> tuple[int, ...]:
        return self.shape

    def storage_offset(self) -> int:
        return 0

    def untyped_storage(self) -> HostArray:
        return self

    def cpu(self) -> HostArray:
        return self

    def new_empty(self, *size: Any, device: str) -> HostArray:
        return HostArray(self.array)

    def set_(self, storage: HostArray, offset: int, size: Any, stride: Any) -> HostArray:
        return self

    def copy_(self, other: HostArray) -> HostArray:
        return self


def on_host(value: Any) -> Any:
    """An argument as the interpreter takes it."""
    if isinstance(value, np.int64):
        return int(value)
    return HostArray(value) if isinstance(value, np.ndarray) else value


def layout(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, block: tuple[int, ...]) -> Callable[[np.ndarray], Any]:
    """What stands for a launcher's layout here."""
    steps = [s // itemsize for s in strides]
    return lambda array: TensorDescriptor(HostArray(array), list(shape), steps, list(block))


class Launch:
    """kernel[grid], as the launcher's."""

    def __init__(self, jitted: Any, grid: tuple[int, ...], last: tuple = (), constants: dict[str, Any] | None = None):
        self.jitted, self.grid, self.last, self.constants = jitted, grid, last, constants

    def __call__(self, *arguments: Any, **constants: Any) -> None:
        if 0 not in self.grid:
            with np.errstate(all="ignore"):
                self.jitted[self.grid](*map(on_host, (*arguments, *self.last)), **(self.constants or constants))

    def bind(self, *last: Any, **constants: Any) -> Launch:
        """The same with its last arguments and its constants in place."""
        return Launch(self.jitted, self.grid, last, constants)


class Interpreted:
    """A kernel that runs in the interpreter: launched as a compiled one."""

    def __init__(self, jitted: Any):
        self.jitted = jitted

    def __getitem__(self, grid: Any) -> Launch:
        return Launch(self.jitted, grid if isinstance(grid, tuple) else (grid,))


def _float32(handle: Any) -> Any:
    """A handle with bfloat16, which the interpreter keeps as 16 bits, as float32."""
    if handle.dtype.scalar != tl.bfloat16:
        return handle
    wide = (handle.data.astype(np.uint32) << 16).view(np.float32)
    return triton_interpreter.TensorHandle(wide, tl.float32)


_dot = triton_interpreter.InterpreterBuilder.create_dot


def _create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
    return _dot(self, _float32(a), _float32(b), *rest)


triton_interpreter.InterpreterBuilder.create_dot = _create_dot

_patch_lang_tensor = triton_interpreter._patch_lang_tensor


def _with_index(tensor: Any, scope: Any) -> None:
    _patch_lang_tensor(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())


triton_interpreter._patch_lang_tensor = _with_index
