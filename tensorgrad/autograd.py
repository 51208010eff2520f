"""Reverse-mode automatic differentiation.

Each recorded operation leaves a `Node`. A tensor points to the node that made it through `tensor.edge = (node, output
index)`; a node points to the edges of its inputs. Nodes are numbered as they are made, so walking back from the highest
number down is a topological order: a heap replaces recursion, and a chain of any length fits on the stack.

Gradients are Tensors and backward formulas are Tensor operations: with `create_graph=True` they are recorded in turn.
"""
from __future__ import annotations

import functools
import heapq
import importlib
import itertools
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from . import dtypes

if TYPE_CHECKING:
    from .tensor import Tensor

Edge = tuple[Any, int]  # (Node, output index), or (leaf Tensor, -1)
F = TypeVar("F", bound=Callable[..., Any])


class _Mode(threading.local):
    enabled = True
    anomaly: Callable[[Node, list], Any] | None = None  # runs the backward of a node and looks at the result (anomaly.py)
    saving: Callable[[Node], None] | None = None  # called with each recorded node that saved tensors (utils/checkpoint.py)


MODE = _Mode()
_sequence = itertools.count()
_FLOATS = frozenset(d.np for d in dtypes.FLOATS)


class Node:
    """One recorded operation. In an op's `forward` and `backward` it is `ctx`: save tensors and plain attributes on it."""

    edges: Any = None  # tuple of Edge or None, one for each tensor input; None: nothing is recorded
    outputs = 1
    materialize = True  # gradients of outputs that took no part arrive as zeros, not None
    hooks: dict[int, list[Callable]] | None = None
    view = False
    seq = -1
    called_at: str | None = None
    _saved: tuple | None = ()
    _versions: list[int] | None = None  # of the saved tensors; None: all 0
    _meta: tuple | None = None

    if TYPE_CHECKING:  # ops set attributes of their own

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, op: Any):
        self.op = op

    @property
    def needs(self) -> tuple[bool, ...]:
        """For each tensor input, whether its gradient is wanted."""
        return tuple(e is not None for e in self.edges or ())

    @property
    def name(self) -> str:
        """The operation's name, for messages."""
        return self.op.name

    def __repr__(self) -> str:
        return f"<{self.name.title().replace('_', '')}Backward>"

    def save(self, *tensors: Any) -> None:
        """Keep tensors for backward. Later in-place changes to them are noticed."""
        if self.edges is None:
            return
        self._saved = tensors
        for t in tensors:
            if t is not None and t._cell is not None:
                self._versions = [0 if t is None or t._cell is None else t._cell[0] for t in tensors]
                return

    @property
    def saved(self) -> tuple[Any, ...]:
        """The saved tensors; RuntimeError where one was changed in place, or where the graph was freed."""
        if self._saved is None:
            raise RuntimeError(
                f"{self.name}: backward a second time through a graph whose saved tensors were freed; "
                "call backward(retain_graph=True) the first time"
            )
        kept = self._saved
        for i, t in enumerate(kept):
            if t is None:
                continue
            if t._cell is not None and t._cell[0] != (0 if self._versions is None else self._versions[i]):
                raise RuntimeError(
                    f"{self.name}: a tensor of shape {tuple(t.array.shape)} needed for its gradient was changed by an in-place "
                    f"operation (now at version {t._cell[0]}, saved at {self._versions[i] if self._versions else 0}); clone it "
                    "before the change or use the out-of-place operation"
                )
            if isinstance(t, _Kept):
                kept = (*kept[:i], t.tensor(self), *kept[i + 1:])
        return kept

    def _own_output(self, out: Tensor, index: int) -> None:
        """Replace an output among the saved tensors: a node that held its own output would be a cycle."""
        self._saved = tuple([_OwnOutput(t, index) if t is out else t for t in self._saved])  # type: ignore[union-attr]


class _Kept:
    """Stands for a saved tensor and gives it back when asked."""

    _cell: list[int] | None = None

    def tensor(self, node: Node) -> Tensor:
        """The tensor that `node` saved."""
        raise NotImplementedError


class _OwnOutput(_Kept):
    """A node's own output, saved without the way back to the node."""

    def __init__(self, out: Tensor, index: int):
        self.array, self.device, self._cell, self.index = out.array, out.device, version_cell(out), index

    def tensor(self, node: Node) -> Tensor:
        """The output again, as part of the graph."""
        from .tensor import wrap

        out = wrap(self.array, self.device)
        if MODE.enabled:
            out.edge, out.tracked, out._cell = (node, self.index), True, self._cell
        return out


class _Hook:
    """Handle of a registered hook; `remove()` takes it out again."""

    def __init__(self, hooks: list[Callable], fn: Callable):
        self._hooks, self._fn = hooks, fn

    def remove(self) -> None:
        """Unregister the hook."""
        if self._fn in self._hooks:
            self._hooks.remove(self._fn)


def version_cell(t: Tensor) -> list[int]:
    """The counter of in-place changes that a tensor shares with its views."""
    cell = t._cell
    if cell is None:
        cell = t._cell = [0] if t._view is None else version_cell(t._view[0])
    return cell


def edge_of(t: Tensor) -> Edge | None:
    """Where a gradient for `t` must flow, or None."""
    if t._view is not None and t._view_at != t._cell[0]:  # type: ignore[index]  # its base was changed in place since
        _renew(t)
    if not t.tracked:
        return None
    return t.edge or (t, -1)


def _renew(t: Tensor) -> None:
    """Give a view whose base was changed in place the history of the same view of the base as it is now."""
    base, replayer, memory = t._view  # type: ignore[misc]
    if replayer is not None and (base.tracked or t.tracked):
        if base.array is not memory:
            raise RuntimeError(f"a view of shape {tuple(t.array.shape)} lost its base: the tensor it was taken from has since been given "
                               "another shape or other memory (by `.data =`, squeeze_, transpose_, ...); take the view again")
        before = MODE.enabled
        MODE.enabled = True
        try:
            fresh = replayer(base)
        finally:
            MODE.enabled = before
        t.edge, t.tracked = fresh.edge, fresh.tracked
    t._view_at = version_cell(t)[0]


def record(ctx: Node, out: Any) -> None:
    """Attach the outputs of a tracked operation to its node."""
    ctx.seq = next(_sequence)
    outs = out if out.__class__ is tuple else (out,)
    if outs is out:
        ctx.outputs = len(outs) or 1
        ctx._meta = tuple([(o.array.shape, o.array.dtype, o.device) for o in outs])
    i = 0
    for o in outs:
        for t in ctx._saved:  # type: ignore[union-attr]
            if t is o:
                ctx._own_output(o, i)
                break
        if o.array.dtype in _FLOATS:
            o.edge = (ctx, i)
            o.tracked = True
        i += 1
    if ctx._saved and MODE.saving is not None:
        MODE.saving(ctx)


def link_view(out: Tensor, base: Tensor, replayer: Callable[[Tensor], Tensor]) -> None:
    """Mark `out` as sharing memory with `base`; `replayer` makes the same view of another tensor (and holds none).

    A view made under `no_grad` of a tensor with history is none that gradients could follow: it has no replayer.
    """
    out._view = (base, None if base.tracked and not out.tracked else replayer, base.array)
    out._cell = version_cell(base)
    out._view_at = out._cell[0]


# ---------------------------------------------------------------- in-place operations


class _CopySlices:
    """Backward of a base whose view was overwritten: the view's part of the gradient goes to the new values."""

    name = "copy_slices"

    def backward(self, ctx: Any, g: Tensor) -> tuple:
        to_base, to_values = ctx.edges
        rest = None
        if to_base is not None:
            rest = g.clone()
            ctx.replayer(rest).fill_(0)
        return rest, ctx.replayer(g) if to_values is not None else None


def check_inplace(t: Tensor, incoming: bool, name: str) -> None:
    """Refuse to overwrite a leaf that wants a gradient, memory that is read-only, and elements that share memory."""
    array = t.array
    if 0 in array.strides and array.size and any(step == 0 and n > 1 for n, step in zip(array.shape, array.strides, strict=True)):
        raise RuntimeError(f"{name}: elements of this expanded tensor of shape {tuple(array.shape)} share their memory; clone() it first")
    if not array.flags.writeable:
        raise RuntimeError(f"{name}: this tensor of shape {tuple(array.shape)} is read-only memory of another library; clone() it first")
    if not MODE.enabled or (t._view is None and not t.tracked):
        return
    edge_of(t)
    root: Tensor | None = t
    while root is not None:
        if root.tracked and root.edge is None:
            what = "a leaf tensor" if root is t else "a view of a leaf tensor"
            raise RuntimeError(
                f"{name}: {what} of shape {tuple(t.array.shape)} that requires grad cannot be changed in place; "
                "do it under no_grad(), or on a clone()"
            )
        if root._view is not None and root._view[1] is None:
            raise RuntimeError(
                f"{name}: a view of shape {tuple(t.array.shape)} that was made under no_grad() cannot be changed in place outside of it, "
                "for its base requires grad; take the view again"
            )
        root = root._view[0] if root._view is not None else None


def rebase(t: Tensor, edge: Edge | None) -> None:
    """After `t` was overwritten by an operation with this edge: count the change and rewrite the history."""
    cell = version_cell(t)
    if t._view_at == cell[0]:
        t._view_at += 1
    cell[0] += 1
    while MODE.enabled and (edge is not None or t.tracked):
        t.edge, t.tracked, t._view_at = edge, edge is not None, cell[0]
        if t._view is None:
            return
        base, replayer, memory = t._view
        if base.array is not memory:  # it was given other memory: what is written here is no longer seen there
            return
        node: Any = Node(_COPY_SLICES)
        node.replayer = replayer
        node.edges = ((base.edge or (base, -1)) if base.tracked else None, edge)
        node.seq = next(_sequence)
        t, edge = base, (node, 0)


_COPY_SLICES = _CopySlices()


# ---------------------------------------------------------------- backward


def _leaf_gradient(t: Tensor, slot: list) -> None:
    """Add the gradient held by slot[1] to `t.grad`; take over its memory where nobody else can see it."""
    if t.grad is not None:
        if MODE.enabled:
            t.grad = t.grad + slot[1]
        else:
            t.grad.array += slot[1].array
        return
    # Two references: the slot's (or the tensor's) and the one just made for the call.
    unseen = sys.getrefcount(slot[1]) == 2 and sys.getrefcount(slot[1].array) == 2
    g = slot[1]
    if (MODE.enabled and g.tracked) or (unseen and g.array.base is None and g.array.flags.c_contiguous):
        t.grad = g
    else:
        from .tensor import wrap

        t.grad = wrap(g.array.copy(), g.device)


def _needed(roots: list[Edge], targets: set[int]) -> set[int]:
    """Ids of the nodes that lie on a path from the roots to a target (a node id or a leaf id)."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [node for node, i in roots if i >= 0]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        order.append(node)
        stack.extend(e[0] for e in node.edges if e is not None and e[1] >= 0)
    needed: set[int] = set()
    for node in sorted(order, key=lambda n: n.seq):
        if id(node) in targets or any(e is not None and (id(e[0]) in needed or id(e[0]) in targets) for e in node.edges):
            needed.add(id(node))
    return needed


def run_backward(
    roots: list[tuple[Edge, Tensor]], retain_graph: bool, create_graph: bool, targets: Sequence[Tensor] | None = None
) -> list[Tensor | None]:
    """Propagate gradients from the roots; into `.grad` of the leaves, or for `targets` as a list."""
    captured: dict[tuple[int, int], Any] = {}
    needed: set[int] | None = None
    if targets is not None:
        edges = [edge_of(t) for t in targets]
        captured = {(id(e[0]), e[1]): None for e in edges if e is not None}
        needed = _needed([e for e, _ in roots], {id(e[0]) for e in edges if e is not None})
    pending: dict[Node, list] = {}  # gradients of the outputs of nodes that have not run yet
    leaves: dict[int, list] = {}  # id -> [leaf, gradient so far]
    heap: list[tuple[int, Node]] = []  # latest node first
    before, anomaly = MODE.enabled, MODE.anomaly
    MODE.enabled = create_graph
    try:
        result: list = [g for _, g in roots]
        edges_out: Sequence = [edge for edge, _ in roots]
        while True:
            for edge in reversed(edges_out):
                g = result.pop()  # so that nobody else holds it when it arrives
                if edge is None or g is None:
                    continue
                node, i = edge
                if i < 0:
                    slot = leaves.get(id(node))
                    if slot is None:
                        leaves[id(node)] = [node, g]
                    else:
                        slot[1] = slot[1] + g
                elif needed is None or id(node) in needed:
                    grads = pending.get(node)
                    if grads is None:
                        grads = pending[node] = [None] * node.outputs
                        heapq.heappush(heap, (-node.seq, node))
                    grads[i] = g if grads[i] is None else grads[i] + g
            if not heap:
                break
            node = heapq.heappop(heap)[1]
            grads = pending.pop(node)
            if node.hooks is not None:
                _run_node_hooks(node, grads)
            if captured:
                for i in range(node.outputs):
                    if (id(node), i) in captured:
                        captured[id(node), i] = grads[i]
            if node.outputs > 1 and node.materialize:
                _fill_missing(node, grads)
            result = node.op.backward(node, *grads) if anomaly is None else anomaly(node, grads)
            g = grads = None
            result = list(result) if result.__class__ is tuple else [result]
            edges_out = node.edges
            if len(result) != len(edges_out):
                raise RuntimeError(f"{node.name}: backward returned {len(result)} gradients for {len(edges_out)} tensor inputs")
            if not retain_graph:
                node._saved = None
        g = None
        for slot in leaves.values():
            leaf = slot[0]
            for hook in leaf._hooks or ():
                replaced = hook(slot[1])
                slot[1] = slot[1] if replaced is None else replaced
            if targets is None:
                _leaf_gradient(leaf, slot)
            elif (id(leaf), -1) in captured:
                captured[id(leaf), -1] = slot[1]
    finally:
        MODE.enabled = before
    if targets is None:
        return []
    return [captured[id(e[0]), e[1]] if e is not None else None for e in edges]


def _run_node_hooks(node: Node, grads: list) -> None:
    for i, hooks in node.hooks.items():  # type: ignore[union-attr]
        for hook in hooks:
            if grads[i] is not None:
                replaced = hook(grads[i])
                grads[i] = grads[i] if replaced is None else replaced


def _fill_missing(node: Node, grads: list) -> None:
    from .tensor import wrap

    for i, g in enumerate(grads):
        if g is None:
            shape, np_type, device = node._meta[i]  # type: ignore[index]
            grads[i] = wrap(device.backend.xp.zeros(shape, np_type), device)


def _start(op: str, outputs: Sequence[Tensor], gradients: Sequence[Tensor | None] | None) -> list[tuple[Edge, Tensor]]:
    """Checked (edge, gradient) pairs to start from."""
    from .tensor import wrap

    if gradients is None:
        gradients = [None] * len(outputs)
    if len(gradients) != len(outputs):
        raise ValueError(f"{op}: {len(outputs)} outputs but {len(gradients)} gradients")
    roots = []
    for t, g in zip(outputs, gradients, strict=True):
        edge = edge_of(t)
        if edge is None:
            raise RuntimeError(f"{op}: a tensor of shape {tuple(t.shape)} does not require grad and has no history")
        if g is None:
            if t.numel() != 1:
                raise RuntimeError(f"{op}: the output has shape {tuple(t.shape)}; only a single number needs no gradient argument")
            g = wrap(t.device.backend.xp.ones(t.array.shape, t.array.dtype), t.device)
        elif tuple(g.shape) != tuple(t.shape):
            raise ValueError(f"{op}: the output has shape {tuple(t.shape)} but its gradient {tuple(g.shape)}")
        elif g.dtype is not t.dtype:
            g = g.to(t.dtype)
        roots.append((edge, g))
    return roots


def _as_list(x: Any) -> list:
    return list(x) if isinstance(x, (tuple, list)) else [x]


def backward(
    tensors: Tensor | Sequence[Tensor], grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None, create_graph: bool = False, inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Accumulate d(sum of tensors * grad_tensors)/d(leaf) into `leaf.grad` of each leaf, or of `inputs` only."""
    roots = _start("backward", _as_list(tensors), None if grad_tensors is None else _as_list(grad_tensors))
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run_backward(roots, retain, create_graph)
        return
    wanted = _as_list(inputs)
    for t, g in zip(wanted, run_backward(roots, retain, create_graph, wanted), strict=True):
        if g is not None:
            _leaf_gradient(t, [t, g])


def grad(
    outputs: Tensor | Sequence[Tensor], inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None, retain_graph: bool | None = None,
    create_graph: bool = False, allow_unused: bool = False, materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; nothing is accumulated into `.grad`.

    With `create_graph=True` the result can be differentiated again. An input the outputs do not depend on is an error
    unless `allow_unused` (then None) or `materialize_grads` (then zeros).
    """
    wanted = _as_list(inputs)
    for i, t in enumerate(wanted):
        if not t.requires_grad:
            raise RuntimeError(f"grad: input {i} of shape {tuple(t.shape)} does not require grad")
    roots = _start("grad", _as_list(outputs), None if grad_outputs is None else _as_list(grad_outputs))
    grads = run_backward(roots, create_graph if retain_graph is None else retain_graph, create_graph, wanted)
    for i, g in enumerate(grads):
        if g is None and materialize_grads:
            grads[i] = wanted[i].new_zeros(wanted[i].shape)
        elif g is None and not allow_unused:
            raise RuntimeError(f"grad: the outputs do not depend on input {i}; pass allow_unused=True to get None for it")
    return tuple(grads)


# ---------------------------------------------------------------- modes


class _Switch:
    """A grad mode as context manager and decorator."""

    value = True

    def __enter__(self) -> None:
        self._before = MODE.enabled
        MODE.enabled = self.value

    def __exit__(self, *exc: object) -> None:
        MODE.enabled = self._before

    def __call__(self, fn: F) -> F:
        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = MODE.enabled
            MODE.enabled = self.value
            try:
                return fn(*args, **kwargs)
            finally:
                MODE.enabled = before

        return wrapped  # type: ignore[return-value]


class no_grad(_Switch):
    """Nothing is recorded inside: `with no_grad():` or `@no_grad()`."""

    value = False

    def __new__(cls, fn: Callable | None = None) -> Any:
        return object.__new__(cls) if fn is None else object.__new__(cls)(fn)


inference_mode = no_grad


class enable_grad(no_grad):
    """Recording is on inside, also within `no_grad`."""

    value = True


class set_grad_enabled(_Switch):
    """Recording on or off, at once and as a context manager."""

    def __init__(self, mode: bool):
        self.value = bool(mode)
        self._before = MODE.enabled
        MODE.enabled = self.value

    def __enter__(self) -> None:
        MODE.enabled = self.value


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return MODE.enabled


_LATER = {  # imported when first asked for: they are built on tensors
    "gradcheck": ("gradcheck", "gradgradcheck"),
    "function": ("Function", "FunctionCtx", "Variable", "once_differentiable"),
    "anomaly": ("detect_anomaly", "set_detect_anomaly", "is_anomaly_enabled"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __package__), name)
    raise AttributeError(f"tensorgrad.autograd has no {name!r}")
