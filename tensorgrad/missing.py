"""What happens when something is asked for that is not there: one answer for every namespace, and for tensors.

`__getattr__ = missing.of(__name__)` at the end of a module. Submodules are imported when first asked for; all else is an AttributeError
that names the nearest thing there is. It looks for that when it is printed, so that `hasattr` costs nothing.
"""
from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable
from typing import Any

OUT_OF_SCOPE = {  # what a name belongs to that is left out on purpose
    "complex numbers": "complex complex32 complex64 complex128 cfloat cdouble chalf polar view_as_complex view_as_real real imag conj "
                       "conj_physical angle isreal is_conj resolve_conj adjoint H fft stft istft eig eigvals",
    "sparse tensors": "sparse sparse_coo_tensor sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor "
                      "sparse_compressed_tensor to_sparse to_sparse_coo to_sparse_csr "
                      "sparse_mask coalesce is_coalesced indices values hspmm hsmm dsmm SparseAdam",
    "quantized tensors": "ao quantization quantize_per_tensor quantize_per_channel dequantize qint8 quint8 qint32 int_repr "
                         "q_scale q_zero_point",
    "graphs captured from Python code": "fx export",
    "storages (a tensor's memory is an array that .numpy() shares)":
        "storage untyped_storage typed_storage set_ Storage UntypedStorage TypedStorage FloatStorage",
}


class Missing(AttributeError):
    """`tensorgrad has no nn.Foo yet; the nearest is nn.Fold`."""

    def __init__(self, place: str, name: str, known: Callable[[], Iterable[str]], obj: Any):
        super().__init__(name=name, obj=obj)
        self.place, self.known = place, known

    def __str__(self) -> str:
        import difflib

        name = str(self.name)
        for what, members in OUT_OF_SCOPE.items():
            if name in members.split():
                return f"tensorgrad has no {self.place}{name}: {what} are out of its scope"
        names = [n for n in self.known() if not n.startswith("_")]
        folded = {n.lower(): n for n in names}
        near = difflib.get_close_matches(name, names, 1) or [folded[n] for n in difflib.get_close_matches(name.lower(), folded, 1, 0.4)]
        return f"tensorgrad has no {self.place}{name} yet" + (f"; the nearest is {self.place}{near[0]}" if near else "")

    def __reduce__(self) -> tuple:
        return AttributeError, (str(self),)


def of(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module."""
    me = sys.modules[module]
    place = module.partition(".")[2]
    inside = {m.name for m in pkgutil.iter_modules(vars(me).get("__path__", ()))}

    def __getattr__(name: str) -> Any:
        if name in inside and not name.startswith("_"):
            return importlib.import_module(f"{module}.{name}")
        raise Missing(place + "." if place else "", name, lambda: {*vars(me), *inside}, me)

    return __getattr__


def attribute(self: Any, name: str) -> Any:
    """The `__getattr__` of a class: what a property raised, or that there is no such attribute."""
    kind = type(self)
    if hasattr(kind, name):
        return object.__getattribute__(self, name)
    raise Missing(f"{kind.__name__}.", name, lambda: dir(kind), self)
