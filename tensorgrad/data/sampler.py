"""Samplers: in which order, and in which batches, a loader asks for the items of a data set.

The random ones draw all their numbers when iteration starts. A loader that stores the generator's state of that moment and
how far it came can therefore be resumed exactly.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from .. import random
from ..dtypes import float64
from ..random import Generator
from ..tensor import Tensor

Index = TypeVar("Index", covariant=True)


class Sampler(Generic[Index]):
    """Base of samplers: define `__iter__`, which gives indices, and `__len__` where it is known."""

    def __iter__(self) -> Iterator[Index]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new random order at each iteration; with `replacement`, `num_samples` independent draws."""

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Generator | None = None):
        if num_samples is not None and num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples must be positive, got {num_samples}")
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        """How many indices an iteration gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, wanted = len(self.data_source), self.num_samples
        if n == 0:
            return iter(())
        if self.replacement:
            return iter(random.randint(n, (wanted,), generator=self.generator).tolist())
        rounds = [random.randperm(n, generator=self.generator).numpy() for _ in range(-(-wanted // n))]
        return iter(np.concatenate(rounds)[:wanted].tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in a new random order at each iteration."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        return iter([self.indices[i] for i in random.randperm(len(self.indices), generator=self.generator).tolist()])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """`num_samples` indices, index i with probability weights[i] / sum(weights); without `replacement` each at most once.

    Without replacement: the smallest of -log(u)/w (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
    """

    def __init__(self, weights: Sequence[float] | Tensor, num_samples: int, replacement: bool = True, generator: Generator | None = None):
        w = np.asarray(weights.tolist() if isinstance(weights, Tensor) else weights, np.float64)
        if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
            raise ValueError("WeightedRandomSampler: weights must be one row of finite numbers, none negative and not all zero")
        if not isinstance(num_samples, int) or num_samples <= 0:
            raise ValueError(f"WeightedRandomSampler: num_samples must be a positive int, got {num_samples!r}")
        if not replacement and num_samples > (w > 0).sum():
            raise ValueError(f"WeightedRandomSampler: {num_samples} samples without replacement, but only {(w > 0).sum()} weights are "
                             "above zero")
        self.weights, self.num_samples, self.replacement, self.generator = w, num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        w = self.weights
        if self.replacement:
            sums = np.cumsum(w)
            drawn = np.searchsorted(sums, self._uniform(self.num_samples) * sums[-1])  # above 0: never a zero weight
            return iter(np.minimum(drawn, int(np.flatnonzero(w)[-1])).tolist())
        u = self._uniform(len(w))
        keys = np.divide(-np.log(u), w, out=np.full(len(w), np.inf), where=w > 0)
        return iter(np.argsort(keys, kind="stable")[: self.num_samples].tolist())

    def _uniform(self, n: int) -> np.ndarray:
        """n random numbers in (0, 1]."""
        return 1 - random.rand(n, dtype=float64, generator=self.generator).numpy()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of `batch_size` indices of another sampler; the last may be shorter, unless `drop_last`."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size must be a positive int, got {batch_size!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))  # the sampler draws now, not at the first batch

    def _batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        batch: list[int] = []
        for i in indices:
            batch.append(i)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def generator_of(*samplers: Any) -> Generator:
    """The generator the first sampler that has one of its own draws from; else the default one."""
    for s in samplers:
        while s is not None:
            if getattr(s, "generator", None) is not None:
                return s.generator
            s = getattr(s, "sampler", None)
    return random.default_generator
