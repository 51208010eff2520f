"""Arrays of the double and the functions on them: NumPy's, with CuPy's restrictions."""
from __future__ import annotations

import ctypes
import functools
import inspect
import re
from types import FunctionType, SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from . import cuda

try:
    import cupy as real  # says which functions, parameters and types there are; no GPU is asked
except ImportError:
    real = None

BF16 = np.dtype(ml_dtypes.bfloat16)
NUMBERS = (int, float, bool, np.generic)


def _memory(shape: tuple[int, ...], dtype: Any) -> tuple[Any, np.ndarray]:
    """(pointer of the device's memory, a NumPy view of it)."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    pointer = cuda.alloc(size)
    buffer = (ctypes.c_char * max(size, 1)).from_address(pointer.ptr)
    return pointer, np.frombuffer(buffer, np.uint8, size).view(dtype).reshape(shape) if size else np.empty(shape, dtype)


class ndarray:
    """An array in the memory of a device."""

    __array_priority__ = 100

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if memptr is None:
            self.pointer, self.host = _memory(shape, dtype)
        else:
            self.pointer = memptr
            span = sum((n - 1) * s for n, s in zip(shape, strides or (), strict=False)) if strides else 0
            size = max(span + np.dtype(dtype).itemsize, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
            raw = np.frombuffer((ctypes.c_char * max(size, 1)).from_address(memptr.ptr), np.uint8)
            self.host = np.lib.stride_tricks.as_strided(raw[:size].view(dtype), shape, strides) if strides else raw[:size].view(
                dtype).reshape(shape)
        self.base: ndarray | None = None

    @classmethod
    def view_of(cls, owner: ndarray, host: np.ndarray) -> ndarray:
        out = object.__new__(cls)
        if 0 in host.strides or not host.flags.writeable:  # what NumPy protects, a diagonal for one, CuPy does not
            host = writable(host)
        out.pointer, out.host, out.base = owner.pointer, host, owner.base if owner.base is not None else owner
        return out

    @property
    def device(self) -> Any:
        return cuda.Device(self.pointer.device_id)

    @property
    def data(self) -> Any:
        address = self.host.__array_interface__["data"][0] if self.host.size else self.pointer.ptr
        return SimpleNamespace(ptr=address, mem=self.pointer.mem, device_id=self.pointer.device_id, device=self.device)

    @property
    def flags(self) -> Any:
        f = self.host.flags
        return SimpleNamespace(c_contiguous=f.c_contiguous, f_contiguous=f.f_contiguous, owndata=self.base is None)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "descr": [("", self.dtype.str)], "version": 3,
                "strides": None if self.host.flags.c_contiguous else self.strides, "data": (self.data.ptr, False),
                "stream": cuda.get_current_stream().ptr or 1}

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        f = function(ufunc.__name__)
        return (f if method == "__call__" else getattr(f, method))(*args, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, np.ndarray) for t in types):
            raise TypeError(f"Unsupported type {np.ndarray} beside a CuPy array in {func.__name__}")
        return function(func.__name__)(*args, **kwargs)

    # What leaves the device waits for it.

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        if cuda.capturing() is not None and blocking:
            cuda.refuse_in_capture("copy to the host")
        if out is None:
            return self.host.copy(order)
        source = self.host
        cuda.work(lambda: np.copyto(out, source))
        return out

    def __dlpack__(self, *, stream: Any = None, **kwargs: Any) -> Any:
        cuda.log.append(("dlpack", stream))
        return self.host.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self.pointer.device_id)

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError("Shape or dtype mismatch")
        place = self.host
        cuda.work(lambda: np.copyto(place, array))

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __index__(self) -> int:
        return self.get().__index__()

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "strides", "dtype", "ndim", "size", "itemsize", "nbytes"):
            return getattr(self.host, name)
        if name.startswith("_") or not hasattr(np.ndarray, name) or (real is not None and not hasattr(real.ndarray, name)):
            raise AttributeError(f"CuPy arrays have no {name!r}")
        if name in ("T", "mT", "real"):
            return give((self,), getattr(self.host, name), None)
        call = functools.partial(_method, name)
        return functools.partial(_overwrite if name in ("fill", "sort", "partition", "put") else _run, name, call, self)

    def __getitem__(self, index: Any) -> ndarray:
        if any(isinstance(i, ndarray) and i.dtype == np.bool_ for i in (index if isinstance(index, tuple) else (index,))):
            cuda.refuse_in_capture("a selection by a mask, whose size the host must know")
        return _run("getitem", lambda a, i: a[i], self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        a, i, v = take(self, "setitem"), take(index, "setitem"), take(value, "setitem")
        if isinstance(v, np.ndarray) and not isinstance(value, ndarray):
            raise TypeError("setitem: a host array")
        with np.errstate(all="ignore"):
            cuda.work(lambda: a.__setitem__(i, v))


def writable(host: np.ndarray) -> np.ndarray:
    """The same memory, without NumPy's protection."""
    given = {**host.__array_interface__, "data": (host.__array_interface__["data"][0], False), "typestr": f"V{host.itemsize}"}
    return np.asarray(SimpleNamespace(__array_interface__={**given, "strides": host.strides, "descr": None}, owner=host)).view(host.dtype)


@functools.cache
def _parameters(name: str) -> list[str] | None:
    """What a method of CuPy's arrays takes, as its documentation begins; None where that does not say."""
    known = re.match(r"_ndarray_base\.\w+\(self,? ?(.*)\)", (getattr(real.ndarray, name).__doc__ or "") if real is not None else "")
    return None if known is None or "*" in known[1] else [p.partition("=")[0].split()[-1] for p in known[1].split(", ") if p]


def _method(name: str, a: np.ndarray, *args: Any, **kwargs: Any) -> Any:
    known = _parameters(name)
    if known is not None and (len(args) > len(known) or not set(kwargs) <= set(known)):
        raise TypeError(f"{name} of CuPy's arrays takes {known}, not {args} and {list(kwargs)}")
    return getattr(a, name)(*args, **kwargs)


def _operator(name: str) -> Any:
    def operate(self: ndarray, *others: Any) -> Any:
        if any(not isinstance(o, (ndarray, *NUMBERS)) and o is not None for o in others):
            return NotImplemented
        return _run(name, lambda a, *o: getattr(np.ndarray, name)(a, *o), self, *others)
    return operate


def _in_place(name: str) -> Any:
    def operate(self: ndarray, other: Any) -> Any:
        a, o = take(self, name), take(other, name)
        cuda.work(lambda: getattr(np.ndarray, name)(a, o))
        return self
    return operate


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__"))
    setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in ("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
ndarray.__hash__ = object.__hash__  # type: ignore[method-assign]


def take(a: Any, where: str) -> Any:
    """An argument as NumPy takes it; arrays of the host are refused, as CuPy does."""
    if isinstance(a, ndarray):
        if a.pointer.device_id != cuda.machine.device and where != "copy":
            raise ValueError(f"{where}: Array device must be same as the current device: array device = {a.pointer.device_id} while "
                             f"current = {cuda.machine.device}")
        return a.host
    if isinstance(a, np.ndarray):
        raise TypeError(f"{where}: Unsupported type {type(a)}")
    if isinstance(a, (list, tuple)):
        return type(a)(take(x, where) for x in a)
    if isinstance(a, slice):
        return slice(*(int(x) if isinstance(x, ndarray) else x for x in (a.start, a.stop, a.step)))
    return a


def kernel_argument(a: Any) -> Any:
    """An argument of a compiled kernel: NumPy arrays are refused, whatever their shape. A function that it has makes such."""
    if isinstance(a, np.ndarray):
        raise ValueError("arrays in the GPU's memory are needed, this one is NumPy's")
    if isinstance(a, FunctionType):
        return lambda *args: kernel_argument(a(*args))
    return [kernel_argument(x) for x in a] if isinstance(a, list) else a.host if isinstance(a, ndarray) else a


def give(sources: tuple, result: Any, again: Any) -> Any:
    """A result of NumPy's in the device's memory: a view of a source where it is one, else new memory filled now or at each replay."""
    if isinstance(result, (tuple, list)):
        return type(result)(give(sources, r, None if again is None else (lambda i=i: again()[i])) for i, r in enumerate(result))
    if isinstance(result, np.generic):
        result = np.asarray(result)
    if not isinstance(result, np.ndarray):
        return result
    owner = next((s for s in sources if isinstance(s, ndarray) and s.host is not result and np.may_share_memory(s.host, result)), None)
    same = next((s for s in sources if isinstance(s, ndarray) and s.host is result), None)
    if same is not None:
        return same
    if owner is not None:
        return ndarray.view_of(owner, result)
    out = ndarray(result.shape, result.dtype)
    if result.ndim > 1 and result.flags.f_contiguous and not result.flags.c_contiguous:
        out.host = out.host.reshape(result.shape[::-1]).T
    place = out.host  # a replay knows addresses: it keeps nothing alive
    if again is None:  # memory that nobody has written
        pass
    elif cuda.capturing() is None:
        place[...] = result
    else:  # nothing is computed now
        cuda.work(lambda: np.copyto(place, again()))
    return out


def _flat(args: Any) -> Any:
    for a in args:
        if isinstance(a, (list, tuple)):
            yield from _flat(a)
        else:
            yield a


WAITS = {"nonzero", "flatnonzero", "argwhere", "unique", "bincount", "isin"}  # the host must know a count


def _run(name: str, f: Any, /, *args: Any, **kwargs: Any) -> Any:
    if name in WAITS:
        cuda.refuse_in_capture(name)
    sources = tuple(_flat((*args, *kwargs.values())))
    taken, options = [take(a, name) for a in args], {k: take(v, name) for k, v in kwargs.items()}
    _refuse_types(name, sources)
    with np.errstate(all="ignore"):
        result = f(*taken, **options)

    def again() -> Any:
        with np.errstate(all="ignore"):
            return f(*taken, **options)

    if "out" in kwargs and kwargs["out"] is not None:
        if cuda.capturing() is not None:
            cuda.work(again)
        return kwargs["out"]
    return give(sources, result, None if name in ("empty", "empty_like") else again)


def _overwrite(name: str, f: Any, /, *args: Any, **kwargs: Any) -> None:
    """What changes its first argument and gives nothing back."""
    taken, options = [take(a, name) for a in args], {k: take(v, name) for k, v in kwargs.items()}
    _refuse_types(name, tuple(_flat(args)))
    cuda.work(lambda: f(*taken, **options))


def _refuse_types(name: str, sources: tuple) -> None:
    """TypeError for bfloat16 where CuPy has no kernel for it."""
    known = getattr(real, {"where": "cupy._sorting.search._where_ufunc"}.get(name, name), None) if real is not None else None
    half = any(isinstance(s, ndarray) and s.dtype == BF16 for s in sources)
    if half and (name in ("where", "sort", "argsort", "median", "partition") or (
            isinstance(known, getattr(real, "ufunc", ())) and not any("E" in t for t in known.types))):
        raise TypeError(f"{name}: CuPy has no kernel for bfloat16")


def _from_host(a: Any, dtype: Any = None, **kwargs: Any) -> ndarray:
    """`array` and `asarray`: what comes from the host is copied."""
    if isinstance(a, ndarray) and not kwargs.get("copied"):
        return a if dtype is None or a.dtype == np.dtype(dtype) else a.astype(dtype)
    if isinstance(a, ndarray):
        return a.copy() if dtype is None else a.astype(dtype)
    if hasattr(a, "__cuda_array_interface__"):
        given = a.__cuda_array_interface__
        mem = cuda.UnownedMemory(given["data"][0], 0, a, cuda.machine.device)
        return ndarray(given["shape"], np.dtype(given["typestr"]), cuda.MemoryPointer(mem, 0), given.get("strides"))
    host = np.array(a, dtype)
    out = ndarray(host.shape, host.dtype)
    if host.ndim > 1 and host.flags.f_contiguous and not host.flags.c_contiguous:
        out.host = out.host.reshape(host.shape[::-1]).T
    cuda.refuse_in_capture("copy from pageable memory of the host")
    out.host[...] = host
    return out


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    return ndarray.view_of(x, np.lib.stride_tricks.as_strided(take(x, "as_strided"), shape, strides))


class _Capsule:
    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def from_dlpack(owner: Any) -> ndarray:
    """An array of the owner's memory, which is on a device."""
    kind, index = owner.__dlpack_device__()
    assert kind == 2, "cupy.from_dlpack imports a GPU's memory"
    host = writable(np.from_dlpack(_Capsule(owner.__dlpack__(stream=cuda.get_current_stream().ptr or 1))))
    out = object.__new__(ndarray)
    address = host.__array_interface__["data"][0]
    out.pointer, out.host, out.base = cuda.MemoryPointer(cuda.UnownedMemory(address, host.nbytes, host, index), 0), host, None
    return out


class _Function:
    """A function of CuPy's: NumPy's of the same name, with the parameters that CuPy's has."""

    def __init__(self, name: str):
        self.__name__ = name
        self.host = getattr(np, name)
        self.known = getattr(real, name) if real is not None else None
        try:
            self.signature = inspect.signature(self.known) if real is not None and not isinstance(self.known, real.ufunc) else None
        except (TypeError, ValueError):
            self.signature = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.signature is not None:
            self.signature.bind(*args, **kwargs)
        if self.__name__ in ("array", "asarray", "ascontiguousarray") and args and not isinstance(args[0], ndarray):
            out = _from_host(*args, **kwargs)
            return out
        run = _overwrite if self.__name__ in ("copyto", "put_along_axis", "fill_diagonal", "putmask", "place") else _run
        return run(self.__name__, self.host, *args, **kwargs)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"cupy.{self.__name__}.accumulate")
        return _run("accumulate", self.host.accumulate, array, axis, dtype)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"cupy.{self.__name__}.reduce")
        return _run("reduce", lambda a: self.host.reduce(a, axis, dtype, keepdims=keepdims), array)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if self.__name__ not in ("add", "maximum", "minimum", "subtract"):
            raise NotImplementedError(f"cupy.{self.__name__}.at")
        x, i, v = take(a, "at"), take(indices, "at"), take(b, "at")
        cuda.work(lambda: self.host.at(x, i, v))


@functools.cache
def function(name: str) -> Any:
    """CuPy's function, or type, of a name."""
    if real is not None and not hasattr(real, name):
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    if name == "fuse":
        raise AttributeError(name)
    host = getattr(np, name)
    return _Function(name) if callable(host) and not isinstance(host, type) else host
