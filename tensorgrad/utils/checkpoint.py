"""Activation checkpointing: keep a function's inputs instead of what its operations save, and compute it again in backward.

The graph is recorded as always; only the tensors that its nodes save are left out. The first node that asks for one of them runs
the function again, with the random numbers it had, and what the operations save this time, in the same order, is handed
out. Chen et al., "Training deep nets with sublinear memory cost", 2016.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from .. import precision, random
from ..grad_mode import enable_grad
from ..graph import MODE, Edge, Kept, Node, OwnOutput, edge_of, version_cell
from ..tensor import Tensor, wrap


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did other operations than the first."""


class _Enough(BaseException):
    """Ends a second run when everything asked for has been seen. Not an Exception, so that the function does not catch it."""


class _Inputs:
    """The op of nodes that only hold the arguments of a checkpointed function."""

    name = "checkpoint"


_INPUTS = _Inputs()


class _Left(Kept):
    """A saved tensor that was left out: one of those of its region."""

    def __init__(self, region: _Region, saved: Any):
        self.region = region
        self.own = saved.index if isinstance(saved, OwnOutput) else None
        self.edge: Edge | None = None if isinstance(saved, OwnOutput) else edge_of(saved)
        self.what = (saved.array.shape, saved.array.dtype)

    def tensor(self, node: Node) -> Tensor:
        """The tensor computed again, at its place in the graph."""
        array, device = self.region.computed_again(self)
        out = wrap(array, device)
        edge = self.edge if self.own is None else (node, self.own)
        if edge is not None:
            out.edge, out.tracked = edge, True
        return out


def _stays(saved: Any) -> bool:
    """Whether a saved tensor costs nothing to keep: None, or a leaf that the function did not make."""
    return saved is None or (isinstance(saved, Tensor) and saved.tracked and saved.edge is None)


class _Region:
    """One call of a checkpointed function."""

    def __init__(self, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any], preserve_rng_state: bool, check: bool):
        self.function, self.kwargs, self.check = function, kwargs, check
        self.rng = random.states() if preserve_rng_state else None
        self.autocast = precision.state()
        self.left: list[weakref.ref[_Left]] = []
        self.again: weakref.WeakKeyDictionary[_Left, tuple] = weakref.WeakKeyDictionary()  # (array, device, version cell, version)
        # The arguments are held as a node holds what it saves: changes in place are noticed, an outer region can leave them out.
        self.others = [None if isinstance(a, Tensor) else a for a in args]
        self.inputs = Node(_INPUTS)
        self.inputs.edges = ()
        self.inputs.save(*[a if isinstance(a, Tensor) else None for a in args])
        if MODE.saving is not None:
            MODE.saving(self.inputs)

    def run(self, args: tuple) -> Any:
        """The first run."""
        before, MODE.saving = MODE.saving, self._leave_out
        try:
            return self.function(*args, **self.kwargs)
        finally:
            MODE.saving = before

    def _leave_out(self, node: Node) -> None:
        """Replace what a node saved by notes to compute it again."""
        kept = list(node._saved or ())
        for i, t in enumerate(kept):
            if not _stays(t):
                kept[i] = note = _Left(self, t)
                self.left.append(weakref.ref(note))
                if node._versions is not None:
                    node._versions[i] = 0
        node._saved = tuple(kept)

    def computed_again(self, note: _Left) -> tuple[Any, Any]:
        """(array, device) of what a note stands for."""
        if note not in self.again:
            self._run_again()
        if note not in self.again:
            raise self._differs(f"{len(self.left)} tensors", "fewer")
        array, device, cell, version = self.again[note]
        if cell[0] != version:
            raise RuntimeError(f"checkpoint: {self._name()} changes a tensor of shape {tuple(array.shape)} in place that is needed for a "
                               "gradient; use the out-of-place operation")
        return array, device

    def _run_again(self) -> None:
        notes = [ref() for ref in self.left]
        last = max(i for i, n in enumerate(notes) if n is not None)
        seen = 0

        def collect(node: Node) -> None:
            nonlocal seen
            for t in node._saved or ():
                if _stays(t):
                    continue
                if seen == len(notes):
                    raise self._differs(f"{len(notes)} tensors", "more")
                note, seen = notes[seen], seen + 1
                if note is not None:
                    what = (t.array.shape, t.array.dtype)
                    if self.check and what != note.what:
                        raise self._differs(*(f"one of shape {tuple(shape)} and type {kind}" for shape, kind in (note.what, what)))
                    cell = t._cell if isinstance(t, OwnOutput) else version_cell(t)
                    self.again[note] = (t.array, t.device, cell, cell[0])  # type: ignore[index]
            if seen > last:
                raise _Enough

        args = self._arguments()
        now, before = random.states(), MODE.saving
        try:
            if self.rng is not None:
                random.restore(self.rng)
            MODE.saving = collect
            with enable_grad(), precision.as_in(self.autocast):
                self.function(*args, **self.kwargs)
        except _Enough:
            pass
        finally:
            MODE.saving = before
            random.restore(now)

    def _arguments(self) -> list[Any]:
        """The arguments for a second run: results of operations without the graph behind them, but not as leaves."""
        args = list(self.others)
        for i, t in enumerate(self.inputs.saved):
            if t is not None:
                if t.tracked and t.edge is not None:
                    t = wrap(t.array, t.device)
                    t.edge, t.tracked = (Node(_INPUTS), 0), True
                args[i] = t
        return args

    def _name(self) -> str:
        return getattr(self.function, "__qualname__", None) or type(self.function).__name__

    def _differs(self, first: str, second: str) -> CheckpointError:
        return CheckpointError(f"checkpoint: {self._name()} saved {first} for backward in its first run and {second} when it was computed "
                               "again; it must do the same operations each time")


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = False, preserve_rng_state: bool = True,
               determinism_check: str = "default", **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, keeping its inputs but not its intermediate results, which backward computes again.

    The gradients are bit for bit those without checkpointing, also of parameters that the function reaches by itself, through
    `autograd.grad` and for several backward passes. `preserve_rng_state` gives the second run the random numbers of the first.
    What else the function does (running statistics, printing) is done again. PyTorch's two variants are one here: both values of
    `use_reentrant` do the same. `determinism_check="none"` does not compare the shapes and types of the two runs.
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"checkpoint: determinism_check must be 'default' or 'none', not {determinism_check!r}")
    if not MODE.enabled:
        return function(*args, **kwargs)
    return _Region(function, args, kwargs, preserve_rng_state, determinism_check == "default").run(args)


def checkpoint_sequential(functions: Iterable[Callable[..., Any]], segments: int, input: Any, use_reentrant: bool | None = False,
                          preserve_rng_state: bool = True) -> Any:
    """Call functions one after the other in `segments` pieces, each checkpointed but the last."""
    steps = list(functions)
    if not 1 <= segments <= max(len(steps), 1):
        raise ValueError(f"checkpoint_sequential: {len(steps)} functions cannot be split into {segments} segments")

    def piece(begin: int, end: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for step in steps[begin:end]:
                x = step(x)
            return x

        return run

    size = len(steps) // segments
    for i in range(segments - 1):
        input = checkpoint(piece(i * size, (i + 1) * size), input, preserve_rng_state=preserve_rng_state)
    return piece((segments - 1) * size, len(steps))(input)
