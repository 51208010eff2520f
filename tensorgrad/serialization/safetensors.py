"""Tensors and plain data in one .safetensors file.

A safetensors file is: the header's length (8 bytes, little-endian), the header (JSON: for each tensor its dtype, shape and place),
then the tensors' bytes. Around its tensors an object may have any nesting of dicts, lists, tuples, numbers, strings, bools and
None: that structure is JSON too, in the header's metadata, with `{"$tensor": name}` where a tensor stands. A dict of tensors, such
as a state_dict, is saved under its own keys, so that any program that reads safetensors can load it.
https://github.com/huggingface/safetensors describes the format.
"""
from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from .. import dtypes
from ..tensor import Size, Tensor, wrap

FORMAT = 1  # of the structure in the metadata
_STRUCTURE, _DIGEST = "tensorgrad", "sha256"
_CODES = {"bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "float16": "F16",
          "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
_BY_CODE = {code: dtypes.BY_NAME[name] for name, code in _CODES.items()}
_LARGEST_HEADER = 100_000_000  # the format's own limit
_PIECE = 1 << 24


def write(obj: Any) -> Iterator[Any]:
    """The file that holds `obj`, piece by piece. TypeError names the place of what cannot be stored."""
    tensors: dict[str, Tensor] = {}
    structure = _describe(obj, (), tensors, [])
    return _file(structure, tensors)


def _describe(obj: Any, where: tuple, tensors: dict[str, Tensor], inside: list[int]) -> Any:
    """`obj` as JSON; the tensors in it are added to `tensors` under a name made of their place."""
    kind = type(obj)
    if isinstance(obj, Tensor):
        name = _free_name(".".join(map(str, where)) or "tensor", tensors)
        tensors[name] = obj
        return {"$tensor": name}
    if obj is None or kind in (bool, int, str):
        return obj
    if isinstance(obj, float):
        return float(obj) if math.isfinite(obj) else {"$float": str(float(obj))}
    if not isinstance(obj, dict) and kind not in (list, tuple, Size):
        raise TypeError(f"save: {_place(where)}: {_refusal(obj)}")
    if id(obj) in inside:
        raise ValueError(f"save: {_place(where)}: a {kind.__name__} that contains itself cannot be saved")
    inside.append(id(obj))
    if isinstance(obj, dict):
        for key in obj:
            if key is not None and type(key) not in (str, int, float, bool):
                raise TypeError(f"save: {_place(where)}: a {type(key).__name__} cannot be saved as a key; use a string or a number")
        plain = all(type(k) is str and not k.startswith("$") for k in obj)
        values = [_describe(v, (*where, k), tensors, inside) for k, v in obj.items()]
        result: Any = dict(zip(obj, values, strict=True)) if plain else {
            "$dict": [[_describe(k, where, tensors, inside), v] for k, v in zip(obj, values, strict=True)]}
    else:
        result = [_describe(v, (*where, i), tensors, inside) for i, v in enumerate(obj)]
        result = result if kind is list else {"$tuple": result}
    inside.pop()
    return result


def _free_name(name: str, taken: dict[str, Tensor]) -> str:
    """The name, with a number where it is taken or means something else in the format."""
    free, n = name, 1
    while free in taken or free == "__metadata__":
        n += 1
        free = f"{name}#{n}"
    return free


def _place(where: tuple) -> str:
    """`optimizer.state[0].foo`."""
    text = ""
    for step in where:
        text += f".{step}" if isinstance(step, str) else f"[{step!r}]"
    return text.lstrip(".") or "the object"


def _refusal(obj: Any) -> str:
    kind = type(obj).__name__
    if isinstance(obj, (np.ndarray, np.generic)):
        return f"a NumPy {kind} cannot be saved; tensorgrad.from_numpy makes a tensor of an array, .item() a number of a scalar"
    if hasattr(obj, "state_dict"):
        return f"a {kind} cannot be saved; save its state_dict()"
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return f"{article} {kind} cannot be saved: only tensors, numbers, strings, bools, None, and dicts, lists and tuples of them"


def _bytes(tensor: Tensor) -> memoryview:
    """The tensor's elements in row-major order, little-endian."""
    a = np.ascontiguousarray(tensor.device.backend.to_numpy(tensor.array))
    return a.reshape(-1).view(np.uint8).data  # big-endian machines are not supported by the kernels either


def _file(structure: Any, tensors: dict[str, Tensor]) -> Iterator[Any]:
    """The file, piece by piece."""
    table, at = {}, 0
    ordered = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)  # keeps each aligned to its own size
    for name in ordered:
        t = tensors[name]
        table[name] = {"dtype": _CODES[t.dtype.name], "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    metadata = {"format": "pt", _STRUCTURE: json.dumps({"version": FORMAT, "object": structure}, allow_nan=False)}
    digest = _digest(metadata[_STRUCTURE], table)
    for name in ordered:
        digest.update(_bytes(tensors[name]))
    header = json.dumps({"__metadata__": {**metadata, _DIGEST: digest.hexdigest()}, **table}).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > _LARGEST_HEADER:
        raise ValueError(f"save: the structure takes {len(header)} bytes as JSON; the format allows {_LARGEST_HEADER}")
    yield len(header).to_bytes(8, "little") + header
    for name in ordered:
        yield _bytes(tensors[name])


def _digest(structure: str, table: dict[str, Any]) -> Any:
    """The beginning of the checksum: everything that is not tensor data."""
    return hashlib.sha256((structure + json.dumps(table, sort_keys=True)).encode())


def read(f: BinaryIO, size: int, wrong: Any, device: Any) -> Any:
    """The object in a file of `size` bytes, its tensors on `device`. `wrong(words)` makes the error."""
    head = f.read(8)
    if len(head) < 8:
        raise wrong(f"it has {len(head)} bytes; expected a safetensors file, which has at least 8")
    length = int.from_bytes(head, "little")
    if length > _LARGEST_HEADER:
        raise wrong(f"this is no safetensors file: expected the length of its header, but it begins with {head!r}, "
                    f"which would make that {length} bytes")
    text = f.read(length)
    if len(text) < length:
        raise wrong(f"it is cut off, or no safetensors file: its header should have {length} bytes but {len(text)} are there")
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        table = {key: _entry(key, e) for key, e in header.items()}
    except (ValueError, AttributeError, TypeError, RecursionError) as e:
        raise wrong(f"its header is not that of a safetensors file: {e}") from None
    total = _check_places(table, wrong)
    if size != 8 + length + total:
        found = "it is cut off" if size < 8 + length + total else "bytes follow its end"
        raise wrong(f"{found}: it has {size} bytes; expected {8 + length + total}")
    structure = metadata.get(_STRUCTURE) if isinstance(metadata, dict) else None
    if structure is None and _DIGEST in metadata:
        raise wrong(f"it was changed after it was saved: its metadata has no {_STRUCTURE!r}")
    digest = _digest(structure, header) if structure is not None else None
    tensors = {}
    for key, (kind, shape, begin, end) in sorted(table.items(), key=lambda item: item[1][2]):
        a = np.empty(end - begin, np.uint8)
        if (got := _fill(f, a.data)) < end - begin:
            raise wrong(f"it is cut off: {got} of the {end - begin} bytes of {key!r} are there")
        if digest is not None:
            digest.update(a)
        tensors[key] = a.view(kind.np).reshape(shape)
    if digest is not None and digest.hexdigest() != metadata.get(_DIGEST):
        raise wrong(f"it was changed after it was saved: its contents have the checksum {digest.hexdigest()[:12]}..., expected "
                    f"{str(metadata.get(_DIGEST))[:12]}...")
    loaded = {key: wrap(device.backend.asarray(a), device) for key, a in tensors.items()}
    if structure is None:
        return {key: loaded[key] for key in table}
    try:
        described = json.loads(structure)
        version = described["version"]
        obj = _rebuild(described["object"], loaded) if version == FORMAT else None
    except (KeyError, TypeError, ValueError, RecursionError) as e:
        raise wrong(f"its structure cannot be read: {type(e).__name__} {e}") from None
    if version != FORMAT:
        raise wrong(f"it is of version {version}; this tensorgrad reads version {FORMAT}")
    return obj


def _entry(name: str, entry: Any) -> tuple[dtypes.dtype, tuple[int, ...], int, int]:
    """(dtype, shape, begin, end) of a tensor in the header; ValueError where they do not agree."""
    try:
        code, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the entry of tensor {name!r} is {str(entry)[:80]}") from None
    if code not in _BY_CODE:
        raise ValueError(f"tensor {name!r} has elements of type {code!r}; tensorgrad has {', '.join(_BY_CODE)}")
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"tensor {name!r} has the shape {shape} and the place {begin, end}; expected whole numbers")
    kind = _BY_CODE[code]
    if math.prod(shape) * kind.itemsize != end - begin:
        raise ValueError(f"tensor {name!r} of shape {shape} and type {code} should have {math.prod(shape) * kind.itemsize} bytes, "
                         f"but its place has {end - begin}")
    return kind, shape, begin, end


def _check_places(table: dict[str, Any], wrong: Any) -> int:
    """The bytes that all tensors take; the error when they overlap or leave gaps."""
    at = 0
    for name, (_, _, begin, end) in sorted(table.items(), key=lambda item: item[1][2:]):
        if begin != at:
            raise wrong(f"tensor {name!r} begins at byte {begin}; expected {at}, where the one before ends")
        at = end
    return at


def _fill(f: Any, view: memoryview) -> int:
    """Read until `view` is full or the file ends; the number of bytes read."""
    done = 0
    while done < len(view):
        piece = f.read(min(_PIECE, len(view) - done))
        if not piece:
            break
        view[done:done + len(piece)] = piece
        done += len(piece)
    return done


def _rebuild(described: Any, tensors: dict[str, Tensor]) -> Any:
    """The object that `_describe` made JSON of."""
    if isinstance(described, list):
        return [_rebuild(d, tensors) for d in described]
    if not isinstance(described, dict):
        return described
    if len(described) == 1:
        ((key, value),) = described.items()
        if key == "$tensor":
            return tensors[value]
        if key == "$float":
            return float(value)
        if key == "$tuple":
            return tuple(_rebuild(value, tensors))
        if key == "$dict":
            return {_rebuild(k, tensors): _rebuild(v, tensors) for k, v in value}
    return {k: _rebuild(v, tensors) for k, v in described.items()}
