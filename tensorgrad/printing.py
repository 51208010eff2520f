"""How tensors print: PyTorch's layout, so that output can be compared by eye."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes

if TYPE_CHECKING:
    from .tensor import Tensor


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
                     linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None) -> None:
    """How tensors print: digits after the point, elements above which a tensor is summarised, elements kept at each edge of a
    summary, characters per line, a profile ("default", "short", "full"), and scientific notation (None: where it helps)."""
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: no profile {profile!r}; there are {', '.join(_PROFILES)}")
        for name, value in _PROFILES[profile].items():
            setattr(_options, name, value)
    for name, value in (("precision", precision), ("threshold", threshold), ("edgeitems", edgeitems), ("linewidth", linewidth)):
        if value is not None:
            setattr(_options, name, value)
    _options.sci_mode = sci_mode


def _formatter(sample: np.ndarray) -> tuple[int, Callable[[Any], str]]:
    """(width, element -> padded text) that suits all elements of the sample."""
    if sample.dtype.kind != "f":
        width = max((len(str(v)) for v in sample.ravel().tolist()), default=0)
        return width, lambda v: f"{v!s:>{width}}"
    digits = _options.precision
    values = np.abs(sample[np.isfinite(sample) & (sample != 0)]).astype(np.float64)
    if not values.size:
        whole, scientific, width = True, False, 1
    else:
        smallest, largest = values.min(), values.max()
        whole = bool((np.ceil(values) == values).all())
        wide = largest / smallest > 1000 or largest > 1e8
        scientific = wide or (not whole and smallest < 1e-4)
        signed = sample[np.isfinite(sample) & (sample != 0)]
        width = 1
        if scientific:
            width = max(len(f"{v:.{digits}e}") for v in signed.tolist())
        elif whole:
            width = max(len(f"{v:.0f}") + 1 for v in signed.tolist())
        else:
            width = max(len(f"{v:.{digits}f}") for v in signed.tolist())
    if _options.sci_mode is not None:
        scientific = _options.sci_mode

    def show_float(v: float) -> str:
        if scientific:
            text = f"{v:.{digits}e}"
        elif whole:
            text = f"{v:.0f}" + ("." if np.isfinite(v) else "")
        else:
            text = f"{v:.{digits}f}"
        return f"{text:>{width}}"

    return width, show_float


def _edges(a: np.ndarray) -> np.ndarray:
    """The elements a summary shows."""
    k = _options.edgeitems
    for dim, n in enumerate(a.shape):
        if n > 2 * k:
            a = np.concatenate([a.take(range(k), dim), a.take(range(n - k, n), dim)], dim)
    return a


def _block(a: np.ndarray, indent: int, summarise: bool, width: int, one: Callable[[Any], str]) -> str:
    """The nested brackets of an array whose text starts at column `indent`."""
    if a.ndim == 0:
        return one(a.item())
    k = _options.edgeitems
    short = summarise and len(a) > 2 * k
    if a.ndim == 1:
        items = [one(v) for v in (a[:k] if short else a).tolist()]
        if short:
            items += [" ...", *[one(v) for v in a[len(a) - k:].tolist()]]
        per_line = max(1, (_options.linewidth - indent) // (width + 2))
        lines = [", ".join(items[i:i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [_block(row, indent + 1, summarise, width, one) for row in (a[:k] if short else a)]
    if short:
        rows += ["...", *[_block(row, indent + 1, summarise, width, one) for row in a[len(a) - k:]]]
    return "[" + ("," + "\n" * (a.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def show(t: Tensor) -> str:
    """The text of a tensor: `tensor([1., 2.], dtype=tensorgrad.float64)`."""
    start = "tensor("
    a = t.device.backend.to_numpy(t.array)
    if t.dtype in (dtypes.float16, dtypes.bfloat16):
        a = a.astype(np.float32)
    notes = [] if t.device.type == "cpu" else [f"device='{t.device}'"]
    if a.size == 0:
        body = "[]"
        if a.ndim != 1:
            notes.append(f"size={tuple(a.shape)}")
        plain = t.dtype is dtypes.get_default_dtype()
    else:
        summarise = a.size > _options.threshold
        width, one = _formatter(_edges(a) if summarise else a)
        body = _block(a, len(start), summarise, width, one)
        plain = t.dtype in (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_)
    if not plain:
        notes.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        notes.append(f"grad_fn={t.grad_fn!r}")
    elif t.requires_grad:
        notes.append("requires_grad=True")
    text = start + body
    column = len(text) - text.rfind("\n") + 1
    for note in notes:
        if column + len(note) + 2 > _options.linewidth:
            text += ",\n" + " " * len(start) + note
            column = len(start) + len(note)
        else:
            text += ", " + note
            column += len(note) + 2
    return text + ")"
