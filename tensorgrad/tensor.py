"""The tensor: an array, a device, and its place in the autograd graph.

Operations are not here: each file of `ops/` adds its method, its in-place twin and its operators to this class.
"""
from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import autograd, dtypes, graph, memory_format, missing
from .device import CPU, device, get_default_device
from .dtypes import dtype
from .memory_format import contiguous_format as CONTIGUOUS
from .memory_format import lies


class Size(tuple):
    """A shape: a tuple of ints with `numel()`."""

    def numel(self) -> int:
        """The product of the sizes."""
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"tensorgrad.Size({list(self)})"

    def __getitem__(self, i: Any) -> Any:
        got = tuple.__getitem__(self, i)
        return Size(got) if isinstance(i, slice) else got


class Tensor:
    """An n-dimensional array that can be differentiated. Make one with `tensorgrad.tensor`, `zeros`, `rand`, ...

    `Tensor(2, 3)` is an uninitialised 2 x 3 tensor of the default dtype and `Tensor([1, 2])` one with that data, as in PyTorch.
    """

    array: Any  # NumPy (cpu, emu) or CuPy (cuda) storage
    device: device
    tracked = False  # requires grad: a leaf that asked for it, or the result of recorded operations
    _grad: Tensor | None = None
    edge: graph.Edge | None = None  # (node, output index) that made this tensor; None for a leaf
    _view: tuple[Tensor, Callable[[Tensor], Tensor] | None, Any] | None = None  # (base, the same view of another base, base's array)
    _view_at = 0
    _cell: list[int] | None = None  # count of in-place changes, shared with views
    _hooks: list[Callable] | None = None
    retains_grad = False  # whether retain_grad() was asked of this result of an operation
    __array_priority__ = 1000  # so that numpy_number * tensor comes here

    if not TYPE_CHECKING:
        __getattr__ = missing.attribute

    if TYPE_CHECKING:  # methods added by ops/

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __add__
        __matmul__ = __floordiv__ = __mod__ = __and__ = __or__ = __xor__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

    def __init__(self, *args: Any, device: Any = None):
        where = as_device(device)
        if len(args) == 1 and not isinstance(args[0], (int, np.integer)):
            data = args[0]
            self.array = data.array if isinstance(data, Tensor) else where.backend.asarray(
                np.array(data, dtype=dtypes.get_default_dtype().np))
        else:
            self.array = where.backend.xp.empty(args or (0,), dtypes.get_default_dtype().np)
        self.device = where

    # ------------------------------------------------------------ what it is

    @property
    def shape(self) -> Size:
        """The sizes of all dimensions."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> dtype:
        """The element type."""
        return dtypes.BY_NUMPY[self.array.dtype]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    def dim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return Size(self.array.shape)
        return self.array.shape[check_dim("size", dim, self.array.ndim)]

    def numel(self) -> int:
        """The number of elements."""
        return int(self.array.size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return int(self.array.dtype.itemsize)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return int(self.array.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(self.array.nbytes)

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours, in elements, for all dimensions or one."""
        steps = tuple(s // self.array.dtype.itemsize for s in self.array.strides)
        return steps if dim is None else steps[check_dim("stride", dim, self.array.ndim)]

    def storage_offset(self) -> int:
        """How many elements lie between the start of the memory and the first element."""
        base = self.array
        while isinstance(base.base, type(base)):
            base = base.base
        start = min(0, sum((n - 1) * s for n, s in zip(base.shape, base.strides, strict=True) if s < 0))
        return (self.data_ptr() - self.device.backend.address(base) - start) // self.array.dtype.itemsize

    def is_contiguous(self, memory_format: Any = CONTIGUOUS) -> bool:
        """Whether the elements lie in row-major order, or in that of `memory_format`, without gaps."""
        if memory_format is CONTIGUOUS:
            return bool(self.array.flags.c_contiguous)
        return lies("is_contiguous", self, memory_format)

    @property
    def layout(self) -> memory_format.layout:
        """`tensorgrad.strided`: there is no other."""
        return memory_format.strided

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """False: there are no complex tensors."""
        return False

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self.device.backend.address(self.array))

    @property
    def is_cuda(self) -> bool:
        """Whether the tensor is on a CUDA device."""
        return self.device.type == "cuda"

    def get_device(self) -> int:
        """The index of the tensor's device; -1 on a CPU."""
        return -1 if self.device.type != "cuda" else (self.device.index or 0)

    # ------------------------------------------------------------ autograd

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        if self._view is not None and graph.MODE.enabled:
            graph.edge_of(self)
        return self.tracked

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient in `.grad`. Only floating tensors have one; only leaves can be switched off."""
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(f"requires_grad_: only floating tensors have gradients, this one is {self.dtype.name}")
        if not requires_grad and self.edge is not None:
            raise RuntimeError("requires_grad_: only a leaf can be switched off; use detach() for a tensor without history")
        self.tracked = bool(requires_grad)
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` accumulated: of the shape, dtype and device of this tensor; None before."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            if value.array.shape != self.array.shape or value.array.dtype != self.array.dtype or value.device is not self.device:
                raise RuntimeError(
                    f"grad: a gradient of shape {tuple(value.shape)}, {value.dtype.name} on {value.device} does not belong to a tensor of "
                    f"shape {tuple(self.shape)}, {self.dtype.name} on {self.device}")
        self._grad = value

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self.edge is None

    @property
    def grad_fn(self) -> graph.Node | None:
        """The node of the operation that made this tensor."""
        edge = graph.edge_of(self) if self.tracked else None
        return edge[0] if edge is not None and edge[1] >= 0 else None

    @property
    def _version(self) -> int:
        return graph.version_cell(self)[0]

    @property
    def data(self) -> Tensor:
        """The same memory without history; changes through it are not counted."""
        return wrap(self.array, self.device)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(value).__name__}")
        self.array, self.device = value.array, value.device

    def detach(self) -> Tensor:
        """The same memory without history."""
        out = wrap(self.array, self.device)
        out._cell = graph.version_cell(self)
        return out

    def detach_(self) -> Tensor:
        """Cut this tensor off its history."""
        if self._view is not None:
            raise RuntimeError("detach_: cannot detach a view in place; use detach()")
        self.edge, self.tracked = None, False
        return self

    def backward(self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
                 inputs: Tensor | Sequence[Tensor] | None = None) -> None:
        """Accumulate the gradients of this tensor into the `.grad` of the leaves it depends on."""
        autograd.backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call `hook(grad)` when this tensor's gradient is known; what it returns replaces the gradient."""
        edge = graph.edge_of(self)
        if edge is None:
            raise RuntimeError("register_hook: this tensor does not require grad")
        if edge[1] < 0:
            if self._hooks is None:
                self._hooks = []
            hooks = self._hooks
        else:
            if edge[0].hooks is None:
                edge[0].hooks = {}
            hooks = edge[0].hooks.setdefault(edge[1], [])
        hooks.append(hook)
        return graph.Hook(hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of a non-leaf in `.grad` too."""
        if not self.tracked:
            raise RuntimeError(f"retain_grad: this tensor of shape {tuple(self.shape)} does not require grad")
        edge = graph.edge_of(self)
        if edge is None or edge[1] < 0 or self.retains_grad:
            return
        import weakref

        me = weakref.ref(self)

        def keep(g: Tensor) -> None:
            t = me()
            if t is not None:
                t.grad = g if t.grad is None else t.grad + g

        self.retains_grad = True
        if edge[0].kept is None:
            edge[0].kept = {}
        edge[0].kept.setdefault(edge[1], []).append(keep)

    # ------------------------------------------------------------ into Python and NumPy

    def item(self) -> Any:
        """The one element as a Python number; RuntimeError for any other count."""
        if self.array.size != 1:
            raise RuntimeError(f"item: the tensor has shape {tuple(self.shape)}; only one element converts to a number")
        value = self.device.backend.to_numpy(self.array).item()
        return float(value) if self.dtype.is_floating_point else value

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        a = self.device.backend.to_numpy(self.array)
        return (a.astype(np.float32) if self.dtype is dtypes.bfloat16 else a).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The NumPy array that shares this tensor's memory; `force` detaches and copies to the CPU first where that is needed."""
        if self.device.type == "cuda" and not force:
            raise TypeError(f"numpy: the tensor is on {self.device}; use .cpu() first, or numpy(force=True)")
        if self.tracked and not force:
            raise RuntimeError("numpy: the tensor requires grad; use detach().numpy(), or numpy(force=True)")
        return self.device.backend.to_numpy(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.tracked:
            raise BufferError("__dlpack__: the tensor requires grad; use detach()")
        from .interop import to_dlpack

        return to_dlpack(self, **kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self.device.index or 0) if self.device.type == "cuda" else (1, 0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.device.type != "cuda":
            raise AttributeError(f"__cuda_array_interface__: the tensor is on {self.device}, not on cuda")
        if self.tracked:
            raise RuntimeError("__cuda_array_interface__: the tensor requires grad; use detach()")
        interface: dict[str, Any] = self.array.__cuda_array_interface__
        return interface

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise TypeError("len() of a tensor without dimensions")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise TypeError("iteration over a tensor without dimensions")
        return iter([self[i] for i in range(len(self.array))])

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise RuntimeError(f"a tensor of shape {tuple(self.shape)} is neither true nor false; use any() or all()")
        return bool(self.item())

    def __pos__(self) -> Tensor:
        return self

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point:
            raise TypeError(f"only integer tensors can be an index, this one is {self.dtype.name}")
        return int(self.item())

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).any())

    def __hash__(self) -> int:
        return id(self) >> 4

    def __repr__(self) -> str:
        from .printing import show

        return show(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.ndim == 0 else object.__format__(self, spec)

    def __deepcopy__(self, memo: dict) -> Tensor:
        if self.edge is not None:
            raise RuntimeError("deepcopy: only leaf tensors can be copied so; use clone() or detach() first")
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.array = self.array.copy()
        new._view, new._cell, new._hooks = None, None, None
        new.grad = None if self.grad is None else wrap(self.grad.array.copy(), self.grad.device)
        memo[id(self)] = new
        return new

    def __copy__(self) -> Tensor:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._cell, new._hooks = graph.version_cell(self), None
        return new

    def __reduce__(self) -> Any:
        raise TypeError("tensors are not pickled: tensorgrad.save writes safetensors, which nobody can hide code in")


_new = object.__new__
_ndarray = np.ndarray


def wrap(array: Any, device: device = CPU) -> Tensor:
    """A tensor around storage; NumPy's scalars become zero-dimensional arrays."""
    t = _new(Tensor)
    t.array = array if array.__class__ is _ndarray else _as_storage(array)
    t.device = device
    return t


def _as_storage(array: Any) -> Any:
    return np.asarray(array) if isinstance(array, (np.generic, np.ndarray)) else array


def as_device(where: Any) -> device:
    """The device meant by None (the default one), a name, or a device."""
    return get_default_device() if where is None else device(where)


def check_dim(op: str, dim: int, ndim: int) -> int:
    """`dim` counted from the front; IndexError when the tensor has no such dimension."""
    span = max(ndim, 1)
    if dim.__class__ is not int:
        try:
            dim = operator.index(dim)
        except TypeError:
            raise TypeError(f"{op}: dim must be an int, not {dim!r}") from None
    if not -span <= dim < span:
        raise IndexError(f"{op}: dim {dim} is out of range for a tensor of {ndim} dimensions (-{span} to {span - 1})")
    return dim + span if dim < 0 else dim
