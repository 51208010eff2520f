"""Data sets: anything with a length whose items can be asked for by number."""
from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..random import Generator, randperm
from ..tensor import Tensor, wrap

Item = TypeVar("Item", covariant=True)


class Dataset(Generic[Item]):
    """Base of data sets: define `__getitem__(index)`, and `__len__` for the samplers.

    A data set that can make a whole batch at once may define `batch(indices)`, which the loader then uses.
    """

    def __getitem__(self, index: int) -> Item:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """A data set that can only be gone through: define `__iter__`. A loader takes its items in the order they come."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class ChainDataset(IterableDataset):
    """Several data sets that can be gone through, one after the other."""

    def __init__(self, datasets: Iterable[Iterable]):
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)


class MapDataset(Dataset):
    """`function` of each item: `MapDataset(data, lambda item: (augment(item[0]), item[1]))`. Computed anew at each access."""

    def __init__(self, dataset: Dataset | Sequence, function: Callable[[Any], Any]):
        self.dataset, self.function = dataset, function

    def __getitem__(self, index: int) -> Any:
        return self.function(self.dataset[index])

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]


class TensorDataset(Dataset):
    """Item `i` is the tuple of row `i` of each tensor; all tensors have the same first size."""

    def __init__(self, *tensors: Tensor):
        if not tensors:
            raise ValueError("TensorDataset: at least one tensor is needed")
        for i, t in enumerate(tensors):
            if not isinstance(t, Tensor) or t.ndim == 0:
                raise TypeError(f"TensorDataset: argument {i} must be a Tensor with at least one dimension, got {_what(t)}")
            if len(t) != len(tensors[0]):
                raise ValueError(f"TensorDataset: tensor 0 has {len(tensors[0])} rows but tensor {i} has {len(t)}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """The rows at `indices` of each tensor, copied in one go rather than collated item by item."""
        rows = np.asarray(indices, np.int64)
        return tuple(wrap(t.array[t.device.backend.asarray(rows)], t.device) if not t.tracked else t[wrap(rows)] for t in self.tensors)


class Subset(Dataset):
    """The items of a data set at the given indices."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices
        if hasattr(dataset, "batch"):
            self.batch = self._batch

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    def _batch(self, indices: Sequence[int]) -> Any:
        return self.dataset.batch([self.indices[i] for i in indices])  # type: ignore[attr-defined]


class ConcatDataset(Dataset):
    """Several data sets one after the other."""

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: at least one data set is needed")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} items")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


def random_split(dataset: Dataset, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset]:
    """Random, disjoint subsets of the given sizes, or fractions that sum to 1 (what rounding leaves goes to the first ones)."""
    total = len(dataset)  # type: ignore[arg-type]
    counts = [int(n) for n in lengths]
    if any(n < 0 for n in lengths):
        raise ValueError(f"random_split: sizes must not be negative, got {list(lengths)}")
    if abs(sum(lengths) - 1) < 1e-6 and any(0 < n < 1 for n in lengths):
        counts = [int(total * n) for n in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    if sum(counts) != total:
        raise ValueError(f"random_split: the sizes {list(lengths)} sum to {sum(counts)} but the data set has {total} items")
    order = randperm(total, generator=generator).tolist()
    ends = list(itertools.accumulate(counts))
    return [Subset(dataset, order[end - n : end]) for n, end in zip(counts, ends, strict=True)]


def k_fold(dataset: Dataset, k: int, labels: Sequence[Any] | Tensor | None = None,
           generator: Generator | None = None) -> list[tuple[Subset, Subset]]:
    """k pairs (training, validation) of subsets, the data in random order: each item is in one validation set and k - 1 training sets.

    With `labels`, one for each item, each fold has its share of every label (stratified). Sizes differ by one at most; of each label too.
    """
    total = len(dataset)  # type: ignore[arg-type]
    if not isinstance(k, int) or not 2 <= k <= total:
        raise ValueError(f"k_fold: k must be an int from 2 to the {total} items of the data set, got {k!r}")
    order = randperm(total, generator=generator).numpy()
    if labels is not None:
        known = np.asarray(labels.tolist() if isinstance(labels, Tensor) else labels)
        if known.shape != (total,):
            raise ValueError(f"k_fold: labels must be one for each of the {total} items, got shape {known.shape}")
        order = order[np.argsort(known[order], kind="stable")]  # dealt out label by label
    folds = [np.sort(order[i::k]).tolist() for i in range(k)]
    return [(Subset(dataset, sorted(itertools.chain(*folds[:i], *folds[i + 1:]))), Subset(dataset, folds[i])) for i in range(k)]


def _what(value: Any) -> str:
    return "one without dimensions" if isinstance(value, Tensor) else f"a {type(value).__name__}"
