"""Reverse-mode automatic differentiation: from the outputs back to the leaves.

The nodes of the graph (graph.py) are numbered as they are made, so walking back from the highest number down is a topological
order: a heap replaces recursion, and a chain of any length fits on the stack. Gradients are Tensors and backward formulas are
Tensor operations: with `create_graph=True` they are recorded in turn.
"""
from __future__ import annotations

import heapq
import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import dtypes, missing
from .grad_mode import enable_grad as enable_grad
from .grad_mode import inference_mode as inference_mode
from .grad_mode import is_grad_enabled as is_grad_enabled
from .grad_mode import no_grad as no_grad
from .grad_mode import set_grad_enabled as set_grad_enabled
from .graph import MODE, Edge, Node, edge_of
from .precision import ACTIVE, STATE, plainly

if TYPE_CHECKING:
    from .tensor import Tensor


def _leaf_gradient(t: Tensor, slot: list) -> None:
    """Add the gradient held by slot[1] to `t.grad`; take over its memory where nobody else can see it."""
    if t.device.index is None:
        return _add_to_leaf(t, slot)
    with t.device.active():
        _add_to_leaf(t, slot)


def _add_to_leaf(t: Tensor, slot: list) -> None:
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
    if ACTIVE and not STATE.suspended:  # gradients have the precision of what they are gradients of
        return plainly(run_backward, roots, retain_graph, create_graph, targets)
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
                kind = node.array.dtype if i < 0 else node._meta[i][1] if node._meta else node._dtype
                if g.array.dtype is not kind and kind is not None:  # the operation promoted this input
                    g = g.to(dtypes.BY_NUMPY[kind])
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
            if node.kept is not None:
                for i, keepers in node.kept.items():
                    for keep in keepers if grads[i] is not None else ():
                        keep(grads[i])
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
                slot[1] = _hooked(hook, slot[1])
            if targets is None:
                _leaf_gradient(leaf, slot)
            elif (id(leaf), -1) in captured:
                captured[id(leaf), -1] = slot[1]
    finally:
        MODE.enabled = before
    if targets is None:
        return []
    return [captured[id(e[0]), e[1]] if e is not None else None for e in edges]


def _hooked(hook: Any, g: Tensor) -> Tensor:
    """The gradient after a hook saw it: what the hook returned, or the same where it returned None."""
    replaced = hook(g)
    if replaced is None:
        return g
    if not isinstance(replaced, type(g)):
        raise TypeError(f"register_hook: a hook returned a {type(replaced).__name__}; it may return a gradient (a Tensor) or None")
    if replaced.array.shape != g.array.shape:
        raise RuntimeError(f"register_hook: a hook made a gradient of shape {tuple(replaced.shape)} from one of {tuple(g.shape)}")
    return replaced if replaced.dtype is g.dtype else replaced.to(g.dtype)


def _run_node_hooks(node: Node, grads: list) -> None:
    for i, hooks in node.hooks.items():  # type: ignore[union-attr]
        for hook in hooks:
            if grads[i] is not None:
                grads[i] = _hooked(hook, grads[i])


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
        if g is not None and not isinstance(g, type(wrap(t.array))):
            raise TypeError(f"{op}: a gradient must be a Tensor or None, not a {type(g).__name__}")
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


_LATER = {  # imported when first asked for: they are built on tensors
    "gradcheck": ("gradcheck", "gradgradcheck"),
    "function": ("Function", "FunctionCtx", "Variable", "once_differentiable"),
    "anomaly": ("detect_anomaly", "set_detect_anomaly", "is_anomaly_enabled"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __package__), name)
    return _missing(name)


_missing = missing.of(__name__)
