"""The loader: batches of a data set, in a sampler's order, prefetched by threads, resumable to the batch."""
from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from .. import creation, cuda, random
from ..op import fn
from ..random import Generator
from ..tensor import Tensor
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, generator_of

_ODD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: streams of neighbouring positions lie far apart


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of items as one batch: tensors and arrays stacked, numbers made a tensor, tuples and dicts entered, strings kept."""
    first = batch[0]
    if isinstance(first, Tensor):
        for i, t in enumerate(batch):
            if t.shape != first.shape:
                raise RuntimeError(f"default_collate: item 0 has shape {tuple(first.shape)} but item {i} has {tuple(t.shape)}; "
                                   "make them equal in the data set, or give the loader a collate_fn")
        return fn.stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype.kind not in "SUO":
        return default_collate([creation.tensor(item) for item in batch])
    if isinstance(first, (bool, int, float)):
        return creation.tensor(np.array(batch))  # floats stay float64, as in PyTorch
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([item[key] for item in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[default_collate(part) for part in zip(*batch, strict=True)])
    if isinstance(first, (tuple, list)):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("default_collate: the items of a batch have unequal lengths; give the loader a collate_fn")
        parts = [default_collate(part) for part in zip(*batch, strict=True)]
        return tuple(parts) if isinstance(first, tuple) else parts
    raise TypeError(f"default_collate: cannot make a batch of {type(first).__name__}; give the loader a collate_fn")


def pinned(batch: Any) -> Any:
    """A batch with its CPU tensors in pinned memory."""
    if isinstance(batch, Tensor):
        return batch if batch.device.type == "cuda" else batch.pin_memory()
    if isinstance(batch, dict):
        return {k: pinned(v) for k, v in batch.items()}
    if isinstance(batch, (list, tuple)):
        made = [pinned(v) for v in batch]
        return type(batch)(*made) if hasattr(batch, "_fields") else type(batch)(made)
    return batch


class DataLoader:
    """Iterates over a data set in batches.

    `shuffle` draws a new order each epoch from `generator` (the default one if None). `sampler` or `batch_sampler` replace it.
    `num_workers` threads prepare `prefetch_factor` batches each in advance. What is loaded does not depend on them: while an item is made,
    random numbers come from a stream of its own, which follows from the loader's generator at the start of the epoch and the item's
    index. `batch_size=None` gives single items. An `IterableDataset` is gone through in its own order, by one thread.
    `pin_memory` puts batches where a GPU reads them by itself (`x.to("cuda", non_blocking=True)`), if there is one. `persistent_workers`
    is taken for compatibility: threads have nothing to keep.

    `state_dict()` between two batches and `load_state_dict()` continue an epoch at the next batch, bit for bit.
    """

    def __init__(self, dataset: Dataset | Sequence, batch_size: int | None = 1, shuffle: bool | None = None,
                 sampler: Iterable | None = None, batch_sampler: Iterable[Sequence[int]] | None = None, num_workers: int = 0,
                 collate_fn: Callable[[list], Any] | None = None, pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable[[int], None] | None = None, multiprocessing_context: Any = None,
                 generator: Generator | None = None, *, prefetch_factor: int | None = None, persistent_workers: bool = False):
        iterable = isinstance(dataset, IterableDataset)
        if iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: an IterableDataset has an order of its own; shuffle, sampler and batch_sampler cannot go with it")
        if not iterable and not hasattr(dataset, "__getitem__"):
            raise TypeError(f"DataLoader: a {type(dataset).__name__} has no items to ask for by number; define __getitem__ and __len__")
        if num_workers < 0 or timeout < 0:
            raise ValueError(f"DataLoader: num_workers and timeout must not be negative, got {num_workers} and {timeout}")
        if multiprocessing_context is not None:
            raise ValueError("DataLoader: multiprocessing_context: workers are threads, there are no processes")
        if num_workers == 0 and (prefetch_factor is not None or timeout or worker_init_fn is not None):
            raise ValueError("DataLoader: prefetch_factor, timeout and worker_init_fn are for workers; set num_workers")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: a sampler decides the order; shuffle=True cannot go with it")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: a batch_sampler decides the batches; batch_size, shuffle, sampler, drop_last cannot go with it")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs batches; batch_size=None gives single items")
        if sampler is None and batch_sampler is None:
            sampler = (dataset if iterable else RandomSampler(dataset, generator=generator) if shuffle  # type: ignore[assignment, arg-type]
                       else SequentialSampler(dataset))  # type: ignore[arg-type]
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.dataset, self.batch_size, self.drop_last, self.num_workers = dataset, batch_size, drop_last, num_workers
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.generator, self.timeout, self.worker_init_fn = generator, timeout, worker_init_fn
        self.collate_fn = default_collate if collate_fn is None else collate_fn
        self.prefetch_factor = prefetch_factor or 2
        self.pin_memory, self.persistent_workers = pin_memory, persistent_workers
        self._start: tuple[int, int] | None = None  # the generator's state when the epoch began
        self._position = 0  # batches given out since
        self._resuming = False
        self._seed = 0  # of the epoch's items
        self._iterable = iterable

    def __len__(self) -> int:
        return len(self._order())  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        drawn_from = self.generator or generator_of(self.batch_sampler, self.sampler)
        if self._resuming and self._start is not None:
            now = drawn_from.get_state()
            drawn_from.set_state(self._start)
            keys = iter(self._order())
            drawn_from.set_state(now)
        else:
            self._start, self._position = drawn_from.get_state(), 0
            keys = iter(self._order())
            if drawn_from.get_state() == self._start:
                drawn_from.reserve(1)  # the next epoch begins elsewhere, even if nothing was drawn for an order
        seed, position = self._start
        self._seed = (seed + _ODD * (position + 1)) % (1 << 64)
        self._resuming = False
        keys = itertools.islice(keys, self._position, None)
        return self._counted(self._prefetched(keys) if self.num_workers else map(self._load, keys))

    @property
    def position(self) -> int:
        """Batches given out in the current epoch."""
        return self._position

    def _order(self) -> Iterable[Any]:
        order = self.batch_sampler if self.batch_sampler is not None else self.sampler
        assert order is not None
        return order

    def _counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self._position += 1
            yield batch
        self._start, self._position = None, 0

    def _load(self, key: Any) -> Any:
        first = key[0] if self.batch_sampler is not None and len(key) else key
        with random.drawing_from(self._stream(first, 1)):
            made = self._batch(key)
        return pinned(made) if self.pin_memory and cuda.is_available() else made

    def _batch(self, key: Any) -> Any:
        if self._iterable:
            return key if self.batch_sampler is None else self.collate_fn(key)
        if self.batch_sampler is None:
            return self._item(key)
        batch = getattr(self.dataset, "batch", None)
        if batch is not None and self.collate_fn is default_collate:
            return batch(key)
        return self.collate_fn([self._item(i) for i in key])

    def _item(self, key: Any) -> Any:
        with random.drawing_from(self._stream(key, 0)):
            return self.dataset[key]

    def _stream(self, key: Any, kind: int) -> Generator:
        """Where random numbers come from while an item (kind 0) or the batch that begins with it (1) is made."""
        if self._iterable:
            key = self._position
        number = int(key) if isinstance(key, (int, np.integer)) else zlib.crc32(repr(key).encode())
        generator = Generator()
        generator.set_state((self._seed, (number % (1 << 29) * 2 + kind) << 32))
        return generator

    def _prefetched(self, keys: Iterator[Any]) -> Iterator[Any]:
        numbers = itertools.count()
        start = None if self.worker_init_fn is None else lambda: self.worker_init_fn(next(numbers))  # type: ignore[misc]
        pool = ThreadPoolExecutor(self.num_workers, "tensorgrad-loader", initializer=start)
        ahead: deque[Future] = deque(pool.submit(self._load, k) for k in itertools.islice(keys, self.num_workers * self.prefetch_factor))
        try:
            while ahead:
                try:
                    batch = ahead.popleft().result(self.timeout or None)
                except TimeoutError:
                    raise RuntimeError(f"DataLoader: no batch within the timeout of {self.timeout} s") from None
                ahead.extend(pool.submit(self._load, k) for k in itertools.islice(keys, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: the generator's state at the start of the epoch and now, and the batches given out."""
        drawn_from = self.generator or generator_of(self.batch_sampler, self.sampler)
        own = None if drawn_from is random.default_generator else list(drawn_from.get_state())
        return {"start": None if self._start is None else list(self._start), "position": self._position, "generator": own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state` with the next iteration. The default generator's own state is not touched: see `set_rng_state`."""
        drawn_from = self.generator or generator_of(self.batch_sampler, self.sampler)
        if (state["generator"] is None) != (drawn_from is random.default_generator):
            raise ValueError("DataLoader: the state is of a loader that draws from another generator than this one")
        if state["generator"] is not None:
            drawn_from.set_state(tuple(state["generator"]))
        self._start = None if state["start"] is None else tuple(state["start"])
        self._position, self._resuming = int(state["position"]), True
