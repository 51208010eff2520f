"""PyTorch's files: a zip archive of a pickle, which describes the object, and one record of bytes for each storage.

`read` opens them without executing anything (`pickled`), `write` makes such a file without PyTorch. In the archive `NAME/data.pkl`
is the pickle, `NAME/data/KEY` the elements of storage KEY, `NAME/byteorder` how its numbers lie. All records are stored as they are,
never compressed. A tensor is a call of `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)`, a storage a reference
`("storage", class, KEY, device, elements)`. https://github.com/pytorch/pytorch/blob/main/torch/serialization.py.
"""
from __future__ import annotations

import math
import pickle
import struct
import zipfile
from typing import Any, BinaryIO

import numpy as np

from .. import dtypes
from ..tensor import Size, Tensor, wrap
from . import pickled

_LARGEST_PICKLE = 100_000_000
_LOCAL_HEADER = 30  # bytes before a record's name in the archive
_ALIGNMENT = 64  # of records, so that a file can be mapped into memory
_STORAGES = {"BoolStorage": "bool", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16", "IntStorage": "int32",
             "LongStorage": "int64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16", "FloatStorage": "float32",
             "DoubleStorage": "float64"}


_CONTAINERS: dict[type, tuple[bytes, bytes]] = {list: (b"](", pickle.APPENDS), tuple: (b"(", pickle.TUPLE), dict: (b"}(", pickle.SETITEMS)}
_NAMES = {kind: name for name, kind in _STORAGES.items()}


class _Kind:
    """The class of a storage: what its elements are; None, where the tensors say it."""

    def __init__(self, dtype: dtypes.dtype | None):
        self.dtype = dtype


def read(f: BinaryIO, wrong: Any, device: Any) -> Any:
    """The object in the archive `f`, its tensors on `device`. `wrong(words)` makes the error."""
    try:
        with zipfile.ZipFile(f) as archive:
            return _Archive(archive, device).object()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, struct.error) as e:
        raise wrong(f"it is a damaged zip archive: {e}") from None
    except (ValueError, OverflowError) as e:
        raise wrong(str(e)) from None


class _Archive:
    """The records of an archive, each by its name behind the folder's."""

    def __init__(self, archive: zipfile.ZipFile, device: Any):
        self.archive, self.device = archive, device
        self.storages: dict[str, np.ndarray] = {}
        self.records: dict[str, zipfile.ZipInfo] = {}
        total = archive.fp.seek(0, 2)  # type: ignore[union-attr]  # open until the archive is closed
        end = 0
        folders = set()
        for info in sorted(archive.infolist(), key=lambda i: i.header_offset):
            folder, _, name = info.orig_filename.partition("/")
            folders.add(folder)
            if not {"", ".", ".."}.isdisjoint((folder, *name.split("/"))) or "\\" in info.orig_filename:
                raise ValueError(f"a record is named {info.orig_filename!r}, which is no name in a folder of the archive")
            if len(folders) > 1:
                raise ValueError(f"its records are in several folders, {', '.join(map(repr, sorted(folders)))}; PyTorch writes one")
            if name in self.records:
                raise ValueError(f"two records are named {info.orig_filename!r}")
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
                raise ValueError(f"the record {info.orig_filename!r} is compressed or encrypted; PyTorch stores records as they are")
            if info.header_offset < end:
                raise ValueError(f"the record {info.orig_filename!r} overlaps the one before it")
            end = info.header_offset + _LOCAL_HEADER + len(info.orig_filename.encode()) + info.compress_size
            if end > total:
                raise ValueError(f"it is cut off: the record {info.orig_filename!r} should end at byte {end}, the file ends at {total}")
            self.records[name] = info

    def object(self) -> Any:
        if "constants.pkl" in self.records or any(n.startswith("code/") for n in self.records):
            raise ValueError("it is a TorchScript archive, which is a program; save the model's state_dict() instead")
        if "data.pkl" not in self.records:
            raise ValueError(f"a zip archive without the record data.pkl, so not one of PyTorch's; it has {', '.join([*self.records][:5])}")
        if "byteorder" in self.records and (order := self.bytes("byteorder", 16)) != b"little":
            raise ValueError(f"its numbers are {order.decode('ascii', 'replace')}-endian; only little-endian files are read")
        names = {"torch._utils._rebuild_tensor_v2": pickled.Function(self.tensor),
                 "torch._utils._rebuild_tensor_v3": pickled.Function(self.tensor_v3),
                 "torch._utils._rebuild_parameter": pickled.Function(_parameter),
                 "torch.Size": pickled.Function(_size), "torch.storage.UntypedStorage": _Kind(None),
                 **{f"torch.{name}": _Kind(dtypes.BY_NAME[kind]) for name, kind in _STORAGES.items()},
                 **{f"torch.{name}": kind for name, kind in dtypes.BY_NAME.items()}}
        return pickled.read(self.bytes("data.pkl", _LARGEST_PICKLE), names, self.storage, (Tensor, Size, dtypes.dtype))

    def bytes(self, name: str, most: int) -> bytes:
        if self.records[name].file_size > most:
            raise ValueError(f"its record {name} has {self.records[name].file_size} bytes; at most {most} are read")
        return self.archive.read(self.records[name])

    def storage(self, reference: Any) -> tuple[np.ndarray, dtypes.dtype | None]:
        """The bytes of a storage, read once however many tensors share it, and the type of its elements."""
        if type(reference) is not tuple or len(reference) != 5 or reference[0] != "storage" or not isinstance(reference[1], _Kind):
            raise ValueError(f"its pickle refers to {str(reference)[:80]}, which is no storage")
        _, kind, key, _, count = reference
        if f"data/{key}" not in self.records:
            raise ValueError(f"the record data/{key} of a tensor is missing")
        info = self.records[f"data/{key}"]
        itemsize = 1 if kind.dtype is None else kind.dtype.itemsize
        if type(count) is not int or count * itemsize != info.file_size:
            raise ValueError(f"storage {key!r} should have {count} elements of {itemsize} bytes, but its record has {info.file_size} bytes")
        if key not in self.storages:
            self.storages[key] = np.frombuffer(bytearray(self.archive.read(info)), np.uint8)
        return self.storages[key], kind.dtype

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None, metadata: Any = None,
               dtype: Any = None) -> Tensor:
        """A view of a storage."""
        if type(storage) is not tuple or len(storage) != 2 or not isinstance(storage[0], np.ndarray):
            raise ValueError("its pickle is malformed: a tensor has no storage")
        data, kind = storage
        kind = dtype if kind is None else kind
        sizes, strides = _numbers(size), _numbers(stride)
        if not isinstance(kind, dtypes.dtype) or len(sizes) != len(strides) or _numbers((offset,)) is None:
            raise ValueError("its pickle is malformed: a tensor without dtype, or with as many strides as it has not sizes")
        if hooks or metadata:
            raise ValueError("a tensor has hooks or metadata, which would be code or cannot be kept")
        if kind is dtypes.bool_ and (data > 1).any():
            raise ValueError("a tensor of bools has bytes other than 0 and 1")
        elements = data.view(kind.np) if len(data) % kind.itemsize == 0 else data[:0].view(kind.np)
        count = math.prod(sizes)
        last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        if count and last >= len(elements):
            raise ValueError(f"a tensor of shape {sizes}, strides {strides} at {offset} reaches beyond its storage of {len(elements)}")
        if count > len(elements):
            raise ValueError(f"a tensor of shape {sizes} repeats a storage of {len(elements)} elements; save it .contiguous()")
        steps = tuple(s * kind.itemsize for s in strides)
        a = np.lib.stride_tricks.as_strided(elements[offset:], sizes, steps) if count else np.empty(sizes, kind.np)
        return wrap(self.device.backend.asarray(a), self.device)

    def tensor_v3(self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any,
                  metadata: Any = None) -> Tensor:
        """A view of a storage of bytes, for the types that have no class of storages."""
        return self.tensor(storage, offset, size, stride, requires_grad, hooks, metadata, dtype)


def _numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(type(n) is int and 0 <= n < 1 << 62 for n in values):
        raise ValueError(f"its pickle is malformed: {str(values)[:80]} where sizes, strides or a place should be")
    return values


def _parameter(data: Any, requires_grad: Any, hooks: Any) -> Tensor:
    if not isinstance(data, Tensor) or hooks:
        raise ValueError("its pickle is malformed: a parameter without a tensor, or with hooks")
    return data


def _size(values: Any) -> Size:
    return Size(_numbers(values))


def write(obj: Any, f: BinaryIO) -> None:
    """Write `obj`, tensors in any nesting of dicts, lists and tuples with numbers and strings, so that `torch.load` reads it."""
    pickler = _Pickler()
    pickler.put(obj)
    program = b"\x80\x02" + bytes(pickler.program) + pickle.STOP
    with zipfile.ZipFile(f, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [("data.pkl", program), ("byteorder", b"little"), *((f"data/{k}", a) for k, a in enumerate(pickler.storages)),
                              ("version", b"3\n")]:
            info = zipfile.ZipInfo(f"archive/{name}")
            begin = f.tell() + _LOCAL_HEADER + len(info.filename) + 4
            padding = -begin % _ALIGNMENT
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            with archive.open(info, "w", force_zip64=False) as record:
                record.write(content if isinstance(content, bytes) else np.ascontiguousarray(content).reshape(-1).view(np.uint8).data)


class _Pickler:
    """The program that builds an object, in protocol 2, and the arrays of its tensors, each once."""

    def __init__(self) -> None:
        self.program = bytearray()
        self.storages: list[np.ndarray] = []
        self.keys: dict[Any, int] = {}

    def put(self, obj: Any) -> None:
        kind = type(obj)
        if isinstance(obj, Tensor):
            self.tensor(obj)
        elif kind in (list, tuple, dict):
            items = [x for item in obj.items() for x in item] if kind is dict else obj
            begin, end = _CONTAINERS[kind]
            self.program += begin
            for item in items:
                self.put(item)
            self.program += end
        elif kind is Size:
            self.call("torch", "Size", tuple(obj))
        elif obj is None or kind in (bool, int, float, str):
            self.program += pickle.dumps(obj, protocol=2)[2:-1]  # without the protocol's number and the end
        else:
            raise TypeError(f"a {kind.__name__} cannot be written to a file of PyTorch's")

    def name(self, module: str, name: str) -> None:
        self.program += pickle.GLOBAL + f"{module}\n{name}\n".encode()

    def call(self, module: str, name: str, *arguments: Any) -> None:
        self.name(module, name)
        self.put(arguments)
        self.program += pickle.REDUCE

    def tensor(self, t: Tensor) -> None:
        a = t.device.backend.to_numpy(t.array)
        place = (a.__array_interface__["data"][0], a.dtype, a.shape, a.strides) if a.size else id(t)
        key = self.keys.setdefault(place, len(self.storages))
        if key == len(self.storages):
            self.storages.append(a)
        strides = np.empty(a.shape, np.int8).strides  # of a contiguous tensor, in elements
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.program += pickle.MARK + pickle.MARK
        self.put("storage")
        self.name("torch", _NAMES[t.dtype.name])
        for part in (str(key), "cpu", a.size):
            self.put(part)
        self.program += pickle.TUPLE + pickle.BINPERSID
        for part in (0, tuple(a.shape), strides, False):
            self.put(part)
        self.call("collections", "OrderedDict")
        self.program += pickle.TUPLE + pickle.REDUCE
