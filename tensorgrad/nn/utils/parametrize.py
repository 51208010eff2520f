"""Parameters computed from others: after `register_parametrization(m, "weight", Symmetric())` m.weight is Symmetric()(original)."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from ...grad_mode import no_grad
from ...tensor import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Buffer, Parameter

_cache: dict[tuple[int, str], Tensor] | None = None  # within `cached()`


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Within it each parametrized tensor is computed once; gradients of all its uses add up."""
    global _cache
    before, _cache = _cache, {} if _cache is None else _cache
    try:
        yield
    finally:
        _cache = before


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, one after another, and what they start from: `original`, or `original0`, `original1`, ...

    The original is what the first one's `right_inverse` makes of the tensor, or the tensor itself.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if not modules:
            raise ValueError("ParametrizationList: there must be at least one module")
        super().__init__(modules)
        self.unsafe, started = unsafe, original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    started = module.right_inverse(started)
        self.is_tensor = isinstance(started, Tensor)
        parts = [started] if self.is_tensor else list(started)
        if not all(isinstance(t, Tensor) for t in parts):
            raise ValueError("ParametrizationList: right_inverse must return a Tensor or several")
        self.ntensors = len(parts)
        for name, t in zip(self._names(), parts, strict=True):
            if isinstance(original, Parameter):
                self.register_parameter(name, original if t is original else Parameter(t.detach(), original.requires_grad))
            else:
                self.register_buffer(name, t.detach())
        self._fits(original)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def _fits(self, original: Tensor) -> None:
        with no_grad():
            new = self()
        if not isinstance(new, Tensor):
            raise ValueError(f"a parametrization must return a Tensor, not a {type(new).__name__}")
        if not self.unsafe and (new.shape != original.shape or new.dtype is not original.dtype):
            raise ValueError(f"a parametrization made {new.dtype.name} of shape {tuple(new.shape)} of {original.dtype.name} of shape "
                             f"{tuple(original.shape)}; unsafe=True allows it")

    def right_inverse(self, value: Tensor) -> None:
        """Set the original so that the parametrized tensor becomes `value`."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"the tensor cannot be assigned: {type(module).__name__} has no right_inverse")
                value = module.right_inverse(value)
            for name, t in zip(self._names(), [value] if self.is_tensor else value, strict=True):
                getattr(self, name).data = t.detach()

    def forward(self) -> Tensor:
        x: Any = self[0](*[getattr(self, name) for name in self._names()])
        for module in list(self)[1:]:
            x = module(x)
        return x


def _property(name: str) -> property:
    def get(self: Any) -> Tensor:
        if _cache is None:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)


def _reclass(module: Module) -> None:
    """Give a module the class with a property for each of its parametrized tensors: one of its own, which no copy of it shares."""
    cls, names = type_before_parametrizations(module), list(module.parametrizations)
    own = {"__module__": cls.__module__, "_before_parametrizations": cls} | {name: _property(name) for name in names}
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), own) if names else cls


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """From now on `module.tensor_name` is what `parametrization` makes of the tensor it was, which stays as its `original`.

    A second one is applied to the result of the first. `unsafe` allows another shape or dtype.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        before, parts = getattr(module, tensor_name), module.parametrizations[tensor_name]
        parts.unsafe = parts.unsafe or unsafe
        if hasattr(parametrization, "right_inverse"):
            parts.right_inverse(parametrization.right_inverse(before))
        parts.append(parametrization)
        parts._fits(before)
        return module
    tensor = module._parameters.get(tensor_name, module._buffers.get(tensor_name))
    if tensor is None:
        raise ValueError(f"register_parametrization: {type(module).__name__} has no parameter or buffer {tensor_name!r}")
    parts = ParametrizationList([parametrization], tensor, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = parts
    _reclass(module)
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one of this tensor."""
    parametrizations = module._modules.get("parametrizations")
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor an ordinary one again, with the value it has now, or that of its original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"remove_parametrizations: {type(module).__name__} has no parametrization of {tensor_name!r}")
    parts = module.parametrizations[tensor_name]
    if not leave_parametrized and not parts.is_tensor:
        raise ValueError(f"remove_parametrizations: {tensor_name!r} has {parts.ntensors} originals: leave_parametrized must be True")
    kept, first = isinstance(getattr(parts, parts._names()[0]), Parameter), getattr(parts, parts._names()[0])
    with no_grad():
        value = parts() if leave_parametrized else first
    del module.parametrizations[tensor_name]
    _reclass(module)
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
    setattr(module, tensor_name, Parameter(value.detach(), first.requires_grad) if kept else Buffer(value.detach()))
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class before anything was parametrized."""
    return getattr(type(module), "_before_parametrizations", type(module))
