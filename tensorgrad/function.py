"""Functions with a backward of the user's own: `tg.autograd.Function`."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .grad_mode import no_grad
from .graph import MODE, Edge, Node, edge_of, sequence, version_cell
from .inplace import check_inplace, rebase
from .op import OBSERVERS, fn, observe
from .tensor import Tensor, wrap


class FunctionCtx(Node):
    """What `forward` and `backward` of a Function share: saved tensors, flags and any attributes of their own."""

    materialize = False  # the engine leaves it to _Backward, which knows the outputs that are no tensors
    _zeros = True
    _wanted: tuple[bool, ...] = ()
    inputs: list[tuple[Any, Any] | None]  # (shape, dtype) of the arguments that are tensors
    _non_differentiable: tuple[Tensor, ...] = ()
    _dirty: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for backward; changes in place to them are noticed."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward: only tensors can be saved, not a {type(t).__name__}; make it an attribute of ctx")
        self.save(*tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to `save_for_backward`."""
        return self.saved

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """For each argument of `forward`, whether its gradient is wanted."""
        return self._wanted

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs have no gradient."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that `forward` changed these inputs in place; they must be among its outputs."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether the gradients of outputs that took no part arrive as zeros (the default) or as None."""
        self._zeros = bool(value)


class _Backward:
    """The op behind the nodes of one Function: checks what the user's `backward` returns."""

    def __init__(self, function: type[Function]):
        self.function = function
        self.name = function.__dict__.get("name", function.__name__)

    def backward(self, ctx: Any, *grads: Tensor | None) -> tuple:
        if ctx._zeros and None in grads:
            grads = tuple([_zeros(ctx, i) if g is None else g for i, g in enumerate(grads)])
        got = self.function.backward(ctx, *grads)
        got = got if isinstance(got, tuple) else (got,)
        count = len(ctx.edges)
        if len(got) < count or any(g is not None for g in got[count:]):
            raise RuntimeError(f"{self.name}: backward returned {len(got)} gradients, but forward has {count} arguments; "
                               "return one for each, None where there is none")
        return tuple([self._checked(ctx, i, g) for i, g in enumerate(got[:count])])

    def _checked(self, ctx: Any, i: int, g: Any) -> Tensor | None:
        if g is None:
            return None
        if not isinstance(g, Tensor):
            raise TypeError(f"{self.name}: backward returned a {type(g).__name__} as gradient {i}; expected a Tensor or None")
        if ctx.inputs[i] is None:
            raise RuntimeError(f"{self.name}: backward returned a gradient for argument {i}, which is not a tensor; return None there")
        if ctx.edges[i] is None:
            return None
        shape, kind = ctx.inputs[i]
        if g.array.shape != shape:
            try:
                g = fn.sum_to_size(g, shape)
            except RuntimeError:
                raise RuntimeError(f"{self.name}: backward returned a gradient of shape {tuple(g.shape)} for argument {i}, "
                                   f"which has shape {tuple(shape)}") from None
        return g if g.dtype is kind else g.to(kind)


def _zeros(ctx: Any, i: int) -> Tensor | None:
    """The gradient of an output that took no part; None where the output is no tensor."""
    if ctx._meta[i] is None:
        return None
    shape, np_type, device = ctx._meta[i]
    return wrap(device.backend.xp.zeros(shape, np_type), device)


class Function:
    """An operation defined by a static `forward(ctx, *args)` and a static `backward(ctx, *grads)`, called by `apply`.

    `forward` may take any arguments and returns a tensor or a tuple; it is not recorded. `backward` gets one gradient for each
    output and returns one for each argument, None for those that have none. `forward(*args)` without ctx goes with a static
    `setup_context(ctx, inputs, output)`.
    """

    _op: _Backward

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = _Backward(cls)

    def __init__(self) -> None:
        raise RuntimeError(f"{type(self).__name__}: a Function is not instantiated; call {type(self).__name__}.apply(...)")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; defined by the subclass."""
        raise NotImplementedError("a Function needs a static forward(ctx, ...)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        """Save what backward needs, where `forward` takes no ctx."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradients of the arguments; defined by the subclass."""
        raise NotImplementedError("a Function needs a static backward(ctx, ...) to be differentiated")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function and record it."""
        ctx = FunctionCtx(cls._op)
        edges = tuple([edge_of(a) if isinstance(a, Tensor) else None for a in args])
        tracked = MODE.enabled and any(e is not None for e in edges)
        ctx._wanted = tuple([tracked and e is not None for e in edges])
        if tracked:
            ctx.edges = edges
            ctx.inputs = [(a.array.shape, a.dtype) if isinstance(a, Tensor) else None for a in args]
        with no_grad():
            if cls.setup_context is Function.setup_context:
                out = cls.forward(ctx, *args, **kwargs)
            else:
                out = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, out)
        outs = list(out) if isinstance(out, tuple) else [out]
        for i, o in enumerate(outs):
            if not isinstance(o, Tensor) and isinstance(out, tuple) and any(isinstance(x, Tensor) for x in outs):
                continue
            if not isinstance(o, Tensor):
                raise TypeError(f"{cls._op.name}: output {i} of forward is a {type(o).__name__}; expected a Tensor or a tuple of them")
        outs = _finish(ctx, args, outs)
        result = tuple(outs) if isinstance(out, tuple) else outs[0]
        if OBSERVERS:
            observe(ctx, result, args)
        return result


def _finish(ctx: FunctionCtx, args: tuple, outs: list[Any]) -> list[Any]:
    """The outputs as the caller gets them: attached to the node, inputs among them given a new face."""
    dirty, plain = {id(t) for t in ctx._dirty}, {id(t) for t in ctx._non_differentiable}
    if missing := dirty - {id(o) for o in outs}:
        raise RuntimeError(f"{ctx.name}: {len(missing)} tensors were marked dirty but are not among the outputs")
    given = {id(a) for a in args if isinstance(a, Tensor)}
    faces: dict[int, Tensor] = {}
    for o in outs:
        if isinstance(o, Tensor) and id(o) not in dirty and (id(o) in given or o._view is not None or o.tracked):
            face = faces[id(o)] = wrap(o.array, o.device)
            face._cell = version_cell(o)
    for t in ctx._dirty:
        check_inplace(t, ctx.edges is not None, ctx.name)
    differentiable = [isinstance(o, Tensor) and id(o) not in plain and o.dtype.is_floating_point for o in outs]
    results = [faces.get(id(o), o) for o in outs]
    if ctx.edges is not None:
        ctx.seq = next(sequence)
        ctx.outputs = len(outs) or 1
        ctx._meta = tuple([(o.array.shape, o.array.dtype, o.device) if isinstance(o, Tensor) else None for o in outs])
    for i, o in enumerate(results):
        edge: Edge | None = (ctx, i) if ctx.edges is not None and differentiable[i] else None
        if id(o) in dirty:
            rebase(o, edge)
        elif edge is not None:
            o.edge, o.tracked = edge, True
    if ctx._saved:
        ctx.save(*ctx._saved)  # again: what was changed in place on purpose is known by its new version
        for i, o in enumerate(outs):
            if isinstance(o, Tensor) and (id(o) in dirty or id(o) not in given):
                ctx._own_output(o, i)
        if MODE.saving is not None:
            MODE.saving(ctx)
    return results


class _Twice:
    """Stands behind the gradients of a backward that cannot be differentiated."""

    def __init__(self, name: str):
        self.name = name

    def backward(self, ctx: Any, *grads: Tensor) -> tuple:
        raise RuntimeError(f"{self.name}: its backward is marked once_differentiable and cannot be differentiated again")


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark the `backward` of a Function as not differentiable itself: a second derivative through it is an error."""

    @functools.wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            got = backward(ctx, *grads)
        if not MODE.enabled:
            return got
        single = not isinstance(got, tuple)
        outs = [got] if single else list(got)
        node = Node(_Twice(ctx.name))
        node.edges = tuple([edge_of(t) for t in (*grads, *ctx.saved) if isinstance(t, Tensor)])
        node.seq, node.outputs = next(sequence), len(outs)
        node._meta = tuple([(o.array.shape, o.array.dtype, o.device) if isinstance(o, Tensor) else None for o in outs])
        if any(e is not None for e in node.edges):
            for i, o in enumerate(outs):
                if isinstance(o, Tensor) and o.dtype.is_floating_point:
                    outs[i] = wrap(o.array, o.device)
                    outs[i].edge, outs[i].tracked = (node, i), True
        return outs[0] if single else tuple(outs)

    return once


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The tensor itself: tensors have had their own history since PyTorch 0.4."""
    return data.requires_grad_() if requires_grad else data


