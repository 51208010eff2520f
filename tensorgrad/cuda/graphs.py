"""CUDA graphs: what a function launches, written down once and launched again as a whole.

A replay launches the same kernels on the same memory. So whatever a captured function works with is kept: arrays from outside are held,
and memory it asks for comes from a pool of the graph's own. What differs from replay to replay and is the host's (an optimizer's numbers,
where random ones begin) is put into memory before each, where the captured kernels find it. What depends on values that the host would have
to read is refused by name.
"""
from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

from .. import backends
from .. import op as ops
from ..arguments import tensors_among
from ..random import signed64
from ..tensor import Tensor
from . import streams
from .streams import Stream

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "make_graphed"]


class CUDAGraph:
    """A captured piece of work: `with tg.cuda.graph(g): y = f(x)` fills it, `g.replay()` runs it and y holds the new result."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._pool: Any = None
        self._held: dict[int, Any] = {}  # arrays from outside that the graph reads or writes, by address
        self.preparations: list[Callable[[], None]] = []  # what each replay begins with
        self._drawn: dict[Any, tuple[Any, int]] = {}  # random generators: where their seed and first block lie; the block at the capture

    def replay(self) -> None:
        """Launch it on the current stream."""
        if self._graph is None:
            raise RuntimeError("CUDAGraph.replay: nothing was captured; use `with tg.cuda.graph(g):` first")
        streams.refuse_capture("a replay of another graph", "replay one after the other")
        for prepare in self.preparations:
            prepare()
        self._graph.launch(backends.load("cuda").cupy.cuda.get_current_stream())

    def pool(self) -> Any:
        """Where its memory comes from, for `graph(other, pool=...)`: graphs that are replayed in the order they were captured in, one after
        the other, can share the memory that nobody holds after a capture."""
        return self._pool

    def reset(self) -> None:
        """Forget what was captured; its memory is free again once nobody holds the results."""
        if self._graph is not None:
            streams.synchronize()
        self._graph, self._pool, self._held, self.preparations = None, None, {}, []

    @contextlib.contextmanager
    def capture(self, stream: Stream | None = None, pool: Any = None) -> Iterator[None]:
        """Record what this thread launches, on `stream` or one of its own, instead of running it; its memory comes from `pool`."""
        if streams.capturing():
            raise RuntimeError("cuda.graph: a graph is being captured in this thread already")
        if self._graph is not None:
            raise RuntimeError("cuda.graph: this CUDAGraph holds a graph; reset() it, or make another")
        backend = backends.load("cuda")
        errors = backend.cupy.cuda.runtime.CUDARuntimeError
        streams.synchronize()
        gc.collect()  # what dies during the capture would be freed by calls that cannot be captured
        stream = stream or Stream()
        self._held, self.preparations, self._drawn = {}, [], {}
        self._pool = backend.accounts.private_pool() if pool is None else pool
        with streams.stream(stream), self._watching(errors):
            stream.made.begin_capture()
            backend.accounts.own.pool, streams.own.graph = self._allocate, self
            self._own: set[int] = set()
            try:
                yield
                made = stream.made.end_capture()
            except BaseException as e:
                with contextlib.suppress(errors):
                    if stream.made.is_capturing():
                        stream.made.end_capture()
                if isinstance(e, errors):
                    raise RuntimeError(f"cuda.graph: the capture failed: {e}") from e
                raise
            finally:
                backend.accounts.own.pool, streams.own.graph = None, None
                for generator, (place, start) in self._drawn.items():
                    self.preparations.append(_draw(generator, place, generator.rewind(start)))
        self._graph = made

    def keep(self, array: Any) -> None:
        """Hold an array for as long as the graph is there, unless it lies in the graph's own memory."""
        if array.data.mem.ptr not in self._own:
            self._held[array.data.mem.ptr] = array

    def draws(self, op: str, generator: Any, count: int) -> tuple[Any, int]:
        """Where seed and first block of a generator's numbers will lie when the graph runs, and how far from it these numbers begin."""
        _, block = generator.reserve(count)
        if generator not in self._drawn:
            self._drawn[generator] = backends.load("cuda").for_replays(2, "int64"), block
        place, start = self._drawn[generator]
        if block < start:
            raise RuntimeError(f"{op}: the random generator was set back while a graph is captured; seed it before, or between replays")
        return place, block - start

    def _allocate(self, size: int) -> Any:
        given = self._pool.malloc(size)
        self._own.add(given.ptr)
        return given

    @contextlib.contextmanager
    def _watching(self, errors: type[Exception]) -> Iterator[None]:
        """Hold the arrays that ops are given from outside; name the op that cannot be captured."""
        def hold(ctx: Any, out: Any, args: tuple) -> None:
            if streams.own.graph is self:
                for t in tensors_among(args):
                    if t.device.type == "cuda":
                        self.keep(t.array)

        def around(op: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **kwargs: Any) -> Any:
                try:
                    return forward(*args, **kwargs)
                except errors as e:
                    if streams.own.graph is None:
                        raise
                    raise RuntimeError(f"cuda.graph: {op.name} cannot be captured: it waits for the device, as the host needs a value or a "
                                       f"shape from it ({e})") from e
            return run

        ops.OBSERVERS.append(hold)
        ops.surround(around)
        try:
            yield
        finally:
            ops.OBSERVERS.remove(hold)
            ops.surround(around, False)


def _draw(generator: Any, place: Any, blocks: int) -> Callable[[], None]:
    """What a replay does first: take so many blocks of a generator's numbers, and say where they begin."""
    def draw() -> None:
        seed, first = generator.reserve(4 * blocks)
        place[:1].fill(signed64(seed))
        place[1:].fill(first)

    return draw


class _Graphed:
    """A function captured on examples of its inputs; a call copies the inputs to their places and replays."""

    def __init__(self, function: Callable[..., Any], examples: tuple[Any, ...], warmup: int, stream: Stream | None = None,
                 prepare: Callable[[], Any] | None = None, captured: Callable[..., Any] | None = None, pool: Any = None):
        self.name = getattr(function, "__name__", type(function).__name__)
        for i, x in enumerate(examples):
            if not isinstance(x, Tensor) or x.device.type != "cuda":
                raise TypeError(f"cuda.graph: input {i} of {self.name} must be a tensor on cuda, not {_what(x)}")
        self.inputs = [x.detach().clone() for x in examples]
        self.graph = CUDAGraph()
        stream = stream or Stream()
        stream.wait_stream(streams.current_stream())
        with streams.stream(stream):  # kernels are loaded and constants made before anything is recorded
            for _ in range(warmup):
                function(*self.inputs)
            if prepare is not None:
                prepare()
        streams.current_stream().wait_stream(stream)
        with self.graph.capture(stream, pool):
            self.outputs = (captured or function)(*self.inputs)

    def __call__(self, *inputs: Any) -> Any:
        if len(inputs) != len(self.inputs):
            raise TypeError(f"cuda.graph: {self.name} was captured with {len(self.inputs)} inputs, not {len(inputs)}")
        for i, (new, place) in enumerate(zip(inputs, self.inputs, strict=True)):
            if not isinstance(new, Tensor) or new.shape != place.shape or new.dtype is not place.dtype:
                raise RuntimeError(f"cuda.graph: input {i} of {self.name} was captured as {_what(place)}, not {_what(new)}; a graph has "
                                   "one shape: pad the input, or capture another graph")
            if new is not place:
                place.data.copy_(new.detach(), non_blocking=True)
        self.graph.replay()
        return self.outputs


def _what(x: Any) -> str:
    return f"{x.dtype.name} of shape {tuple(x.shape)} on {x.device}" if isinstance(x, Tensor) else f"a {type(x).__name__}"


def graph_pool_handle() -> Any:
    """Memory for several graphs to share: `graph(g, pool=...)`."""
    return backends.load("cuda").accounts.private_pool()


def graph(what: Any, *examples: Tensor, warmup: int = 3, stream: Stream | None = None, pool: Any = None) -> Any:
    """Capture: `with graph(g):` what runs inside, into a `CUDAGraph`; or a function, which is replaced by its replay.

    `f = graph(step, x)` runs `step(x)` `warmup` times, captures it on a copy of x, and gives a function: f(x2) copies x2 there and
    replays. The results are the same tensors each time, with new values. RuntimeError names what cannot be captured.
    A `step` that trains (zero_grad, backward, clip_grad_norm_, optimizer.step) does so in the runs of the warm-up too; `make_graphed`
    captures one without a step before. `pool` is another graph's `pool()`, or `graph_pool_handle()`.
    """
    if isinstance(what, CUDAGraph):
        return what.capture(stream, pool)
    if not callable(what):
        raise TypeError(f"cuda.graph: expected a CUDAGraph or a function, not a {type(what).__name__}")
    return _Graphed(what, examples, warmup, stream, pool=pool)


def make_graphed(loss: Callable[..., Tensor], optimizer: Any, *examples: Tensor, warmup: int = 3,
                 max_norm: float | None = None) -> Callable[..., Tensor]:
    """A whole training step from `loss(*inputs)`, as a function of the inputs: loss, gradients and the optimizer's step are one replay.

    `max_norm` clips the gradients by their common norm, as `clip_grad_norm_` does. The gradients lie in `.grad` afterwards; the loss
    returned is overwritten by the next step. Learning rates and the optimizer's other options may change from step to step, by a schedule
    too.
    `warmup` runs of the loss and its gradients come first; they change no parameter, but do move the statistics of batch norm.
    """
    from ..nn.utils.clip_grad import clip_grad_norm_

    params = [p for group in optimizer.param_groups for p in group["params"]]

    def both(*inputs: Tensor) -> Tensor:
        for p in params:
            p.grad = None
        value = loss(*inputs)
        value.backward()
        if max_norm is not None:
            clip_grad_norm_(params, max_norm)
        return value.detach()

    def whole(*inputs: Tensor) -> Tensor:
        value = both(*inputs)
        optimizer.step()
        return value

    graphed = _Graphed(both, examples, max(warmup, 1), prepare=optimizer.prepare, captured=whole)  # one run shows who has gradients
    gradients = [(p, p.grad) for p in params]

    def step(*inputs: Tensor) -> Tensor:
        value: Tensor = graphed(*inputs)
        for p, g in gradients:
            p.grad = g
        return value

    return step
