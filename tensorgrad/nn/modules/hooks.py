"""Hooks of a module: functions called around its forward and when gradients pass through it."""
from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ...function import Function
from ...tensor import Tensor

_ids = itertools.count()


class RemovableHandle:
    """Handle of a registered hook; `remove()` takes it out again. As a context manager it removes it at the end."""

    def __init__(self, hooks: dict[int, Any]):
        self.hooks, self.id = hooks, next(_ids)

    def remove(self) -> None:
        """Unregister the hook."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks:
    """The part of `Module` that registers and runs hooks. A module without hooks pays for one attribute look-up per call."""

    _hooks: dict[str, OrderedDict[int, Any]] | None = None
    forward: Callable[..., Any]

    def _register(self, kind: str, hook: Any, prepend: bool = False) -> RemovableHandle:
        if self._hooks is None:
            self._hooks = {}
        hooks = self._hooks.setdefault(kind, OrderedDict())
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle

    def _registered(self, kind: str) -> list[Any]:
        return list(self._hooks.get(kind, {}).values()) if self._hooks else []

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns replaces the arguments.

        With `with_kwargs`, `hook(module, args, kwargs)` may return `(args, kwargs)`.
        """
        return self._register("forward_pre", (hook, with_kwargs), prepend)

    def register_forward_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False,
                              always_call: bool = False) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns replaces the output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`; with `always_call` it is called, with None as output, also
        when forward raised.
        """
        return self._register("forward", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the gradients of the outputs enter; what it returns replaces them."""
        return self._register("backward_pre", hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known; what it returns replaces them.

        Both are tuples with one entry for each positional argument or output, None where there is no gradient.
        """
        return self._register("backward", hook, prepend)

    register_backward_hook = register_full_backward_hook

    def _call_hooked(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """`forward` with all hooks around it."""
        finished = False
        out: Any = None
        called: set[int] = set()
        try:
            for hook, with_kwargs in self._registered("forward_pre"):
                got = hook(self, args, kwargs) if with_kwargs else hook(self, args)
                if got is not None and with_kwargs:
                    if not (isinstance(got, tuple) and len(got) == 2):
                        raise RuntimeError("a forward pre-hook with kwargs must return None or (args, kwargs), not " + type(got).__name__)
                    args, kwargs = got
                elif got is not None:
                    args = got if isinstance(got, tuple) else (got,)
            watch = BackwardWatch(self) if self._registered("backward") or self._registered("backward_pre") else None
            if watch is not None:
                args = watch.inputs(args)
            out = self.forward(*args, **kwargs)
            for hook, with_kwargs, _ in self._registered("forward"):
                called.add(id(hook))
                got = hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)
                out = out if got is None else got
            if watch is not None:
                out = watch.outputs(out)
            finished = True
            return out
        finally:
            if not finished:
                for hook, with_kwargs, always in self._registered("forward"):
                    if always and id(hook) not in called:
                        hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)


class _Pass(Function):
    """Tensors as they are; their gradients are shown to `watch` on the way back."""

    name = "module_hook"

    @staticmethod
    def forward(ctx: Any, watch: Callable[[tuple], tuple], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.watch = watch
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        return (None, *ctx.watch(grads))


class BackwardWatch:
    """One call of a module: sees the gradients of its outputs, then those of its inputs, and calls the backward hooks."""

    def __init__(self, module: Hooks):
        self.module = module
        self.grad_outputs: tuple | None = None
        self.count = 0
        self.where: list[int] = []  # positions of the tracked tensors among the arguments

    def _through(self, values: tuple, watch: Callable[[tuple], tuple]) -> tuple[tuple, list[int]]:
        """`values` with the tracked tensors among them passed through a node, and their positions."""
        where = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
        if not where:
            return values, where
        passed = _Pass.apply(watch, *[values[i] for i in where])
        new = list(values)
        for i, t in zip(where, passed, strict=True):
            new[i] = t
        return tuple(new), where

    def _spread(self, grads: tuple, where: list[int], count: int) -> tuple:
        full: list[Any] = [None] * count
        for i, g in zip(where, grads, strict=True):
            full[i] = g
        return tuple(full)

    def inputs(self, args: tuple) -> tuple:
        """The arguments, watched."""
        self.count = len(args)
        args, self.where = self._through(args, self._on_inputs)
        return args

    def outputs(self, out: Any) -> Any:
        """The outputs, watched: a tensor or a tuple of them; others are left alone."""
        single = isinstance(out, Tensor)
        if not (single or (isinstance(out, tuple) and type(out) is tuple)):
            return out
        values = (out,) if single else out

        def seen(grads: tuple) -> tuple:
            full = self._spread(grads, where, len(values))
            for hook in self.module._registered("backward_pre"):
                got = hook(self.module, full)
                if got is not None:
                    full = self._checked(got, len(full), "grad_output")
            self.grad_outputs = full
            if not self.where:  # no input wants a gradient: nothing will pass there
                self._run(tuple([None] * self.count))
            return tuple(full[i] for i in where)

        passed, where = self._through(values, seen)
        return passed[0] if single else passed

    def _on_inputs(self, grads: tuple) -> tuple:
        full = self._run(self._spread(grads, self.where, self.count))
        return tuple(full[i] for i in self.where)

    def _run(self, grad_inputs: tuple) -> tuple:
        for hook in self.module._registered("backward"):
            got = hook(self.module, grad_inputs, self.grad_outputs)
            if got is not None:
                grad_inputs = self._checked(got, len(grad_inputs), "grad_input")
        return grad_inputs

    def _checked(self, got: Any, count: int, what: str) -> tuple:
        got = got if isinstance(got, tuple) else (got,)
        if len(got) != count:
            raise RuntimeError(f"{type(self.module).__name__}: a backward hook returned {len(got)} gradients for {what}, which has {count}")
        return got
