"""Module: the base of all layers and models."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ... import dtypes
from ...creation import empty
from ...device import device as Device
from ...tensor import Tensor
from ..parameter import Buffer, Parameter
from .state import State

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module(State):
    """Base of all layers and models: owns parameters, buffers and other modules, which are registered by being assigned.

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(64, 10)

            def forward(self, x):
                return self.fc(x)
    """

    training: bool

    def __init__(self) -> None:
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _modules={}, _non_persistent_buffers_set=set())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._call_hooked(args, kwargs)

    # ------------------------------------------------------------ attributes

    def __getattr__(self, name: str) -> Any:
        d = self.__dict__
        if "_modules" in d:  # __init__ has run
            for owned in (d["_parameters"], d["_modules"], d["_buffers"]):
                if name in owned:
                    return owned[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._take_name(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._take_name(name, "_modules")
            self._modules[name] = value
        elif isinstance(value, Buffer):
            self._take_name(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        else:
            d = self.__dict__
            for registry, wanted in (("_parameters", "a Parameter"), ("_modules", "a Module"), ("_buffers", "a Tensor")):
                if name in d.get(registry, ()):
                    if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
                        raise TypeError(f"{type(self).__name__}.{name} must be {wanted} or None, not a {type(value).__name__}")
                    d[registry][name] = value
                    return
            object.__setattr__(self, name, value)

    def _take_name(self, name: str, registry: str) -> None:
        """Make sure that `name` is in no other registry."""
        d = self.__dict__
        if registry not in d:
            raise AttributeError(f"{type(self).__name__}.{name} is assigned before super().__init__() was called")
        d.pop(name, None)
        for other in _REGISTRIES:
            if other != registry:
                d[other].pop(name, None)
        if registry != "_buffers":
            d["_non_persistent_buffers_set"].discard(name)

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*object.__dir__(self), *self._parameters, *self._buffers, *self._modules}
        return sorted(n for n in names if not n[0].isdigit())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # ------------------------------------------------------------ registration

    def _check_name(self, name: str, what: str, registry: dict) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}.{name} is registered before super().__init__() was called")
        if not isinstance(name, str):
            raise TypeError(f"the name of a {what} must be a string, not a {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"the name of a {what} must not be empty or contain a dot: {name!r}")
        d = self.__dict__
        if name not in registry and (name in d or hasattr(type(self), name) or any(name in d[r] for r in _REGISTRIES)):
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Own a parameter under a name; None keeps the name without a parameter."""
        self._check_name(name, "parameter", self.__dict__.get("_parameters", {}))
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{type(self).__name__}.{name} must be a Parameter or None, not a {type(param).__name__}")
        if param is not None and param.edge is not None:
            raise ValueError(f"{type(self).__name__}.{name} is the result of an operation; a parameter must be a leaf")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Own a tensor that is no parameter; it moves with the module and, if `persistent`, is in its state_dict."""
        self._check_name(name, "buffer", self.__dict__.get("_buffers", {}))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"{type(self).__name__}.{name} must be a Tensor or None, not a {type(tensor).__name__}")
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Own a module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}.{name} must be a Module or None, not a {type(module).__name__}")
        self._check_name(name, "module", self.__dict__.get("_modules", {}))
        self._modules[name] = module

    register_module = add_module

    # ------------------------------------------------------------ what is inside

    def _named(self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in getattr(module, registry).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of all parameters, each once unless `remove_duplicate` is off."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        for _, p in self.named_parameters(recurse=recurse):
            yield p

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer) of all buffers, each once unless `remove_duplicate` is off."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        for _, b in self.named_buffers(recurse=recurse):
            yield b

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly inside, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, memo: set[Module] | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module and all inside it, parents first, each once unless `remove_duplicate` is off."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        for _, module in self.named_modules():
            yield module

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; "" is this one."""
        module: Any = self
        for name in filter(None, target.split(".")):
            inner = getattr(module, name, None)
            if not isinstance(inner, Module):
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r} (of {target!r})")
            module = inner
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Put a module at a dotted path."""
        parent, _, name = target.rpartition(".")
        setattr(self.get_submodule(parent), name, module)

    def _get_member(self, target: str, registry: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        owned = getattr(self.get_submodule(path), registry)
        if name not in owned:
            raise AttributeError(f"{type(self.get_submodule(path)).__name__} has no {what} {name!r} (of {target!r})")
        return owned[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return self._get_member(target, "_parameters", "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._get_member(target, "_buffers", "buffer")

    # ------------------------------------------------------------ modes, devices, dtypes

    def train(self, mode: bool = True) -> Any:
        """Training mode on or off, for this module and all inside it."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be a bool, not a {type(mode).__name__}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Any:
        """Evaluation mode: dropout is off, batch norm uses its running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Whether the parameters want gradients."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the parameters' gradients, or set them to zero."""
        for p in self.parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = p.grad.detach()
                p.grad.zero_()

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Call `fn` on all modules inside, children first, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Replace the memory of all parameters, their gradients and buffers by that of `fn(tensor)`."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for p in self._parameters.values():
            if p is not None:
                p.data = fn(p.data)
                if p.grad is not None:
                    p.grad = fn(p.grad.detach())
        for name, b in self._buffers.items():
            if b is not None:
                self._buffers[name] = fn(b)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move to a device and/or convert the floating tensors to a dtype, in place: `to(device)`, `to(dtype)`, `to(tensor)`, ..."""
        def names_dtype(a: Any) -> bool:
            return isinstance(a, dtypes.dtype) or (isinstance(a, str) and a in dtypes.BY_NAME)

        kind = next((a.dtype if isinstance(a, Tensor) else dtypes.as_dtype(a) for a in args if isinstance(a, Tensor) or names_dtype(a)),
                    kwargs.get("dtype"))
        where = next((a.device if isinstance(a, Tensor) else a for a in args if isinstance(a, (Tensor, Device))
                      or (isinstance(a, str) and not names_dtype(a))), kwargs.get("device"))
        unknown = set(kwargs) - {"dtype", "device", "non_blocking"}
        if unknown:
            raise TypeError(f"Module.to: unknown argument {', '.join(sorted(unknown))}")
        if kind is not None and not kind.is_floating_point:
            raise TypeError(f"Module.to: parameters need a floating dtype, not {kind.name}")
        return self._apply(lambda t: t.to(device=where, dtype=kind if t.dtype.is_floating_point else None))

    def type(self, dst_type: Any) -> Any:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda t: t.to(dtypes.as_dtype(dst_type)))

    def float(self) -> Any:
        """Convert the floating tensors to float32."""
        return self.to(dtypes.float32)

    def double(self) -> Any:
        """Convert the floating tensors to float64."""
        return self.to(dtypes.float64)

    def half(self) -> Any:
        """Convert the floating tensors to float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Any:
        """Convert the floating tensors to bfloat16."""
        return self.to(dtypes.bfloat16)

    def cpu(self) -> Any:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | Device | None = None) -> Any:
        """Move to a CUDA device."""
        return self.to(device if isinstance(device, Device) else Device("cuda", device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Move to a device without the values: parameters and buffers are whatever their new memory holds."""
        return self._apply(lambda t: empty(t.shape, dtype=t.dtype, device=device), recurse)

    def share_memory(self) -> Any:
        """Refused: tensors share no memory between processes."""
        raise NotImplementedError("Module.share_memory: tensors share no memory between processes; pass a state_dict through tg.save")

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: there is no compiler, whatever its options; each op runs a compiled kernel as it is."""

    # ------------------------------------------------------------ printing

    def extra_repr(self) -> str:
        """What stands between the parentheses of this module's line when it is printed."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        inside = [f"({name}): " + repr(module).replace("\n", "\n  ") for name, module in self._modules.items()]
        if len(extra) == 1 and not inside:
            return f"{self._get_name()}({extra[0]})"
        lines = extra + inside
        return self._get_name() + "(" + ("\n  " + "\n  ".join(lines) + "\n" if lines else "") + ")"
