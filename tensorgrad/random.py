"""Random numbers: Philox 4x32-10, a counter-based generator.

The state is a seed and a position. Number `i` of a stream is a function of (seed, position + i) alone, so that a checkpoint
stores two integers, any thread or GPU block can make any part of a stream, and every device draws the same bits.
Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""
from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any

import numpy as np

from . import dispatch, dtypes
from .dtypes import dtype as DType
from .grad_mode import no_grad
from .tensor import Tensor, as_device, wrap

__all__ = ["Generator", "bernoulli", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "multinomial",
           "normal", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "seed", "set_rng_state"]


class Generator:
    """A stream of random numbers. `manual_seed` restarts it; `get_state`/`set_state` store and restore its position."""

    def __init__(self, device: Any = "cpu"):
        self.device = device
        self._seed, self._position = 0, 0
        self._lock = threading.Lock()

    def manual_seed(self, seed: int) -> Generator:
        """Start over from `seed` (any integer; taken modulo 2^64)."""
        if not isinstance(seed, (int, float, np.number)) or seed != int(seed):
            raise TypeError(f"manual_seed: the seed must be an integer, not {seed!r}")
        self._seed, self._position = int(seed) & 0xFFFFFFFFFFFFFFFF, 0
        return self

    def seed(self) -> int:
        """Start over from a seed the system's entropy gives; returns it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
        return self._seed

    def initial_seed(self) -> int:
        """The seed last set."""
        return self._seed

    def get_state(self) -> tuple[int, int]:
        """(seed, position)."""
        return self._seed, self._position

    def set_state(self, state: tuple[int, int]) -> None:
        """Go to a state that `get_state` gave."""
        self._seed, self._position = int(state[0]), int(state[1])

    def reserve(self, count: int) -> tuple[int, int]:
        """Take the next `count` 32-bit numbers (rounded up to whole blocks of four): (seed, first block)."""
        with self._lock:
            block = self._position
            self._position += (count + 3) // 4
        return self._seed, block

    def rewind(self, position: int) -> int:
        """Go back to a position; returns how many blocks were taken since."""
        with self._lock:
            taken, self._position = self._position - position, position
        return taken

    def bits(self, count: int) -> np.ndarray:
        """The next `count` random uint32, as int64-free raw bits."""
        seed, block = self.reserve(count)
        out = np.empty(count, np.int32)
        dispatch.kernels_of("cpu")["philox"]["cpu/rounds"].call(out, signed64(seed), block)
        return out.view(np.uint32)


def signed64(value: int) -> int:
    """The same 64 bits read as a signed integer: what compiled kernels take."""
    return value - (1 << 64) if value >= 1 << 63 else value


default_generator = Generator()
_of_devices: dict[Any, Generator] = {}
_here = threading.local()  # `generator`: the one `drawing_from` put in the place of the default one, in this thread


def generator_of(device: Any) -> Generator:
    """The default generator of a device: of each GPU its own, of cpu and emu `default_generator`."""
    if device.index is None:
        return getattr(_here, "generator", default_generator)
    known = _of_devices.get(device)
    return known or _of_devices.setdefault(device, Generator(device).manual_seed(default_generator.initial_seed()))


@contextlib.contextmanager
def drawing_from(generator: Generator) -> Iterator[None]:
    """A context in which this thread draws from `generator` where it would from the default one."""
    former = getattr(_here, "generator", default_generator)
    _here.generator = generator
    try:
        yield
    finally:
        _here.generator = former


def manual_seed(seed: int) -> Generator:
    """Seed the default generator of every device; the same seed gives the same numbers on each."""
    for generator in _of_devices.values():
        generator.manual_seed(seed)
    return default_generator.manual_seed(seed)


def reserve(op: str, device: Any, generator: Generator | None, count: int) -> tuple[int, int]:
    """Take the next numbers for an op on a device, of `generator` or the device's own: (seed, first block).

    In a graph that is captured: (address, ~offset), where the first block of a replay will be, as csrc/device/stretch.cuh reads it.
    """
    generator = generator or generator_of(device)
    if device.backend.capturing():
        return device.backend.drawn_by_replays(op, generator, count)  # type: ignore[no-any-return]
    return generator.reserve(count)


def states() -> list[tuple[Generator, tuple[int, int]]]:
    """Where the default generator of every device is, for `restore`."""
    return [(g, g.get_state()) for g in (default_generator, *_of_devices.values())]


def restore(kept: list[tuple[Generator, tuple[int, int]]]) -> None:
    """Put generators back to where `states` found them; those made since, to where they began."""
    for generator in {*_of_devices.values()} - {g for g, _ in kept}:
        generator.rewind(0)
    for generator, state in kept:
        generator.set_state(state)


def seed() -> int:
    """Seed the default generator from the system's entropy; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed last given to the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> tuple[int, int]:
    """(seed, position) of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: tuple[int, int]) -> None:
    """Restore a state that `get_rng_state` gave."""
    default_generator.set_state(state)


def fork_rng(devices: Any = (), enabled: bool = True) -> Any:
    """A context that leaves the default generators as it found them."""

    @contextlib.contextmanager
    def fork() -> Iterator[None]:
        before = states()
        try:
            yield
        finally:
            if enabled:
                restore(before)

    return fork()


def fill(op: Any, target: Tensor, generator: Generator | None, *numbers: float, kind: Any = None) -> None:
    """Overwrite a tensor with what the op's kernel draws; a dtype `kind` is drawn and converted where it is not the tensor's."""
    if not isinstance(generator, (Generator, NoneType)):
        raise TypeError(f"{op.name}: generator must be a Generator, not a {type(generator).__name__}")
    array, xp = target.array, target.device.backend.xp
    kind = array.dtype if kind is None else kind
    direct = array.flags.c_contiguous and kind == array.dtype
    out = array if direct else xp.empty(array.shape, kind)
    seed, block = reserve(op.name, target.device, generator, array.size * (2 if kind.itemsize == 8 else 1))
    op.kernel(target.device, out)(out, signed64(seed), block, *numbers)
    if not direct:
        array[...] = out


def state_dict() -> dict[str, list[int]]:
    """Where the default generator of each device is, by its name, as plain data: for checkpoints."""
    return {"cpu": list(default_generator.get_state())} | {str(d): list(g.get_state()) for d, g in _of_devices.items()}


def load_state_dict(states: dict[str, list[int]]) -> None:
    """Go on where `state_dict` was taken; devices that are not here are left out."""
    for name, (seed, position) in states.items():
        try:
            generator = generator_of(as_device(name))
        except (ImportError, RuntimeError, ValueError):
            continue
        generator.set_state((seed, position))


# New tensors.


def _new(given: tuple, size: Any, dtype: Any, device: Any, op: str) -> Tensor:
    from .creation import empty, shape_of

    return empty(shape_of(op, given, size), dtype=dtype, device=device)


def rand(*args: Any, size: Sequence[int] | None = None, generator: Generator | None = None, dtype: DType | None = None,
         device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1) of the given size."""
    return _new(args, size, dtype, device, "rand").uniform_(generator=generator).requires_grad_(requires_grad)


def randn(*args: Any, size: Sequence[int] | None = None, generator: Generator | None = None, dtype: DType | None = None,
          device: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers of mean 0 and variance 1 of the given size."""
    return _new(args, size, dtype, device, "randn").normal_(generator=generator).requires_grad_(requires_grad)


def randint(*args: Any, low: int | None = None, high: int | None = None, size: Sequence[int] | None = None,
            generator: Generator | None = None, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Integers in [low, high): `randint(high, size)` or `randint(low, high, size)`; int64 unless a dtype is given."""
    given = list(args)
    if size is None and given:
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if low is None and given:
        low = given.pop()
    if given or high is None or size is None or isinstance(size, int):
        raise TypeError("randint: expected (high, size) or (low, high, size), size being a tuple")
    out = _new((), size, dtype or dtypes.int64, device, "randint")
    return out.random_(0 if low is None else low, high, generator=generator).requires_grad_(requires_grad)


def randperm(n: int, *, generator: Generator | None = None, dtype: DType | None = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:
    """The integers 0 to n - 1 in random order: the order of n random 64-bit keys."""
    if n < 0:
        raise RuntimeError(f"randperm: n must not be negative, got {n}")
    where = as_device(device)
    keys = (generator or generator_of(where)).bits(2 * n).view(np.uint64)
    order = wrap(where.backend.asarray(np.argsort(keys, kind="stable").astype(np.int64)), where)
    return order.to(dtype or dtypes.int64).requires_grad_(requires_grad)


def _like(maker: Any) -> Any:
    def like(input: Tensor, *args: Any, generator: Generator | None = None, dtype: DType | None = None, device: Any = None,
             requires_grad: bool = False, **kwargs: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{like.__name__}: input must be a Tensor, not a {type(input).__name__}")
        return maker(*args, size=tuple(input.shape), generator=generator, dtype=dtype or input.dtype,
                     device=input.device if device is None else device, requires_grad=requires_grad, **kwargs)

    like.__name__ = like.__qualname__ = f"{maker.__name__}_like"
    like.__doc__ = f"As `{maker.__name__}`, with the shape, dtype and device of `input` where nothing else is asked for."
    return like


rand_like, randn_like, randint_like = _like(rand), _like(randn), _like(randint)


def normal(mean: Any, std: Any = 1.0, size: Sequence[int] | None = None, *, generator: Generator | None = None,
           dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers: of one mean and std and a `size`, or with a mean and/or std for each element, given as tensors."""
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal: with a mean and a std that are numbers, a size is needed")
        return _new((), size, dtype, device, "normal").normal_(mean, std, generator=generator).requires_grad_(requires_grad)
    if size is not None:
        raise TypeError("normal: give either tensors or a size")
    like = mean if isinstance(mean, Tensor) else std
    if isinstance(std, Tensor) and bool((std.array < 0).any()):
        raise RuntimeError("normal: std must not be negative")
    with no_grad():
        spread = std if isinstance(std, Tensor) else like.new_full(like.shape, float(std))
        total = mean + spread * 0
        return mean + spread * randn(size=tuple(total.shape), generator=generator, dtype=total.dtype, device=like.device)


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """`num_samples` indices drawn from each row of weights, with or without replacement.

    With it: where a uniform number falls in the cumulative weights. Without: the largest of log(w) + Gumbel noise, which is drawing
    one after another. The weights need not sum to one. RuntimeError for negative, infinite or NaN weights, rows that sum to zero,
    or more samples than there are weights that are not zero.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"multinomial: input must be a Tensor, not a {type(input).__name__}")
    generator = generator or generator_of(input.device)
    w = input.device.backend.to_numpy(input.array)
    if w.ndim not in (1, 2) or not input.dtype.is_floating_point:
        raise RuntimeError(f"multinomial: expected floating weights of 1 or 2 dimensions, got {input.dtype.name} of shape {tuple(w.shape)}")
    w = w.astype(np.float64)
    if not np.isfinite(w).all() or (w < 0).any():
        raise RuntimeError("multinomial: weights must be finite and not negative")
    rows = w.reshape(-1, w.shape[-1])
    if num_samples <= 0 or (w.size and (rows.sum(1) <= 0).any()):
        raise RuntimeError("multinomial: num_samples must be positive and the weights of a row must not all be zero")
    if not replacement and (np.count_nonzero(rows, axis=1) < num_samples).any():
        raise RuntimeError(f"multinomial: cannot draw {num_samples} samples without replacement from fewer weights that are not zero")
    if replacement:
        u = rand(len(rows), num_samples, generator=generator, dtype=dtypes.float64).array
        total = rows.cumsum(1)
        last = rows.shape[1] - 1 - (rows[:, ::-1] > 0).argmax(1)
        picks = [np.minimum(np.searchsorted(t, x * t[-1], side="right"), e) for t, x, e in zip(total, u, last, strict=True)]
        index = np.array(picks, np.int64).reshape(len(rows), num_samples)
    else:
        noise = wrap(np.empty(rows.shape)).exponential_(generator=generator).array
        with np.errstate(divide="ignore"):
            index = np.argsort(noise / rows, axis=1, kind="stable")[:, :num_samples].astype(np.int64)
    return wrap(input.device.backend.asarray(index.reshape(*w.shape[:-1], num_samples)), input.device)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability each element of `input` gives (or with probability `p`), else 0; in the dtype of `input`."""
    if not isinstance(input, Tensor):
        raise TypeError(f"bernoulli: input must be a Tensor, not a {type(input).__name__}")
    if p is None and not input.dtype.is_floating_point:
        raise RuntimeError(f"bernoulli: probabilities must be floating, got {input.dtype.name}")
    return wrap(input.array.copy(), input.device).bernoulli_(wrap(input.array, input.device) if p is None else p, generator=generator)


Tensor.bernoulli = bernoulli  # type: ignore[attr-defined]
Tensor.multinomial = multinomial  # type: ignore[attr-defined]
