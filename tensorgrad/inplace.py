"""What changing a tensor in place means for the graph: who may, and where gradients go afterwards."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .graph import MODE, Edge, Node, edge_of, sequence, version_cell

if TYPE_CHECKING:
    from .tensor import Tensor


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
    if (not array.flags.c_contiguous and 0 in array.strides and array.size
            and any(step == 0 and n > 1 for n, step in zip(array.shape, array.strides, strict=True))):
        raise RuntimeError(f"{name}: elements of this expanded tensor of shape {tuple(array.shape)} share their memory; clone() it first")
    if not getattr(array.flags, "writeable", True):
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
        node._dtype = base.array.dtype
        node.replayer = replayer
        node.edges = ((base.edge or (base, -1)) if base.tracked else None, edge)
        node.seq = next(sequence)
        t, edge = base, (node, 0)


_COPY_SLICES = _CopySlices()
