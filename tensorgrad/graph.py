"""The graph that recording leaves behind.

Each recorded operation leaves a `Node`. A tensor points to the node that made it through `tensor.edge = (node, output
index)`; a node points to the edges of its inputs. A node never points to its own outputs: there are no reference cycles, and
memory goes when the last tensor does. Nodes are numbered as they are made.
"""
from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import dtypes

if TYPE_CHECKING:
    from .tensor import Tensor

Edge = tuple[Any, int]  # (Node, output index), or (leaf Tensor, -1)


class _Mode(threading.local):
    enabled = True
    anomaly: Callable[[Node, list], Any] | None = None  # runs the backward of a node and looks at the result (anomaly.py)
    saving: Callable[[Node], None] | None = None  # called with each recorded node that saved tensors (utils/checkpoint.py)


MODE = _Mode()
sequence = itertools.count()
_FLOATS = frozenset(d.np for d in dtypes.FLOATS)


class Node:
    """One recorded operation. In an op's `forward` and `backward` it is `ctx`: save tensors and plain attributes on it."""

    edges: Any = None  # tuple of Edge or None, one for each tensor input; None: nothing is recorded
    outputs = 1
    materialize = True  # gradients of outputs that took no part arrive as zeros, not None
    hooks: dict[int, list[Callable]] | None = None
    kept: dict[int, list[Callable]] | None = None  # what retain_grad wants to see, after all hooks
    view = False
    seq = -1
    called_at: str | None = None
    _saved: tuple | None = ()
    _versions: list[int] | None = None  # of the saved tensors; None: all 0
    _dtype: Any = None  # NumPy's, of the one output; gradients arrive in it
    _meta: tuple | None = None  # (shape, NumPy dtype, device) of each of several outputs

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
            if isinstance(t, Kept):
                kept = (*kept[:i], t.tensor(self), *kept[i + 1:])
        return kept

    def _own_output(self, out: Tensor, index: int) -> None:
        """Replace an output among the saved tensors: a node that held its own output would be a cycle."""
        self._saved = tuple([OwnOutput(t, index) if t is out else t for t in self._saved])  # type: ignore[union-attr]


class Kept:
    """Stands for a saved tensor and gives it back when asked."""

    _cell: list[int] | None = None

    def tensor(self, node: Node) -> Tensor:
        """The tensor that `node` saved."""
        raise NotImplementedError


class OwnOutput(Kept):
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


class Hook:
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
    ctx.seq = next(sequence)
    outs = out if out.__class__ is tuple else (out,)
    if outs is out:
        ctx.outputs = len(outs) or 1
        ctx._meta = tuple([(o.array.shape, o.array.dtype, o.device) for o in outs])
    else:
        ctx._dtype = out.array.dtype
    for i, o in enumerate(outs):
        for t in ctx._saved:  # type: ignore[union-attr]
            if t is o:
                ctx._own_output(o, i)
                break
        if o.array.dtype in _FLOATS:
            o.edge = (ctx, i)
            o.tracked = True
    if ctx._saved and MODE.saving is not None:
        MODE.saving(ctx)


def link_view(out: Tensor, base: Tensor, replayer: Callable[[Tensor], Tensor]) -> None:
    """Mark `out` as sharing memory with `base`; `replayer` makes the same view of another tensor (and holds none).

    A view made under `no_grad` of a tensor with history is none that gradients could follow: it has no replayer.
    """
    out._view = (base, None if base.tracked and not out.tracked else replayer, base.array)
    out._cell = version_cell(base)
    out._view_at = out._cell[0]
