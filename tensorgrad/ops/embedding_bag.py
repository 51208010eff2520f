"""embedding_bag: sums, means or maxima of bags of table rows, without the rows in between."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.lookup import checked_indices, checked_padding, frequencies, shorten


class EmbeddingBag(Op):
    """y[b] = sum, mean or max over the indices i of bag b of weight[i] (sum: times per_sample_weights[i]).

    A 2-D `input` has one bag a row; a 1-D `input` is cut at `offsets`, where each bag starts (with `include_last_offset` also
    where the last one ends). Empty bags give zeros; indices equal to `padding_idx` do not count. Other arguments as in `embedding`;
    scale_grad_by_freq divides a row's gradient by how often it occurs (PyTorch takes another row's count).
    """

    name = "embedding_bag"
    function = method = False
    functional = True
    composite = True
    torch_name = "nn.functional.embedding_bag"

    def forward(self, input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None, norm_type: float = 2,
                scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Tensor | None = None,
                include_last_offset: bool = False, padding_idx: int | None = None) -> Tensor:
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
        if sparse:
            raise NotImplementedError("embedding_bag: sparse gradients are not supported; use sparse=False")
        if mode == "max" and scale_grad_by_freq:
            raise RuntimeError("embedding_bag: scale_grad_by_freq does not go with mode 'max'")
        index = checked_indices("embedding_bag", input, weight)
        padding = checked_padding("embedding_bag", padding_idx, weight.array.shape[0])
        xp, there = weight.device.backend.xp, weight.device.backend.asarray
        bags, target = self._bags(index, offsets, include_last_offset)
        target = there(target)
        scale = self._weights(per_sample_weights, input, weight, mode)
        if max_norm is not None:
            shorten(weight, index, max_norm, norm_type)
        source = index.flatten()  # a copy: the caller may change its indices before backward
        if padding is not None:
            keep = xp.flatnonzero(source != padding)
            source, target = source[keep], target[keep]
            scale = None if scale is None else fn.index_select(scale, 0, wrap(keep, scale.device))
        if mode == "max":
            return fn.bag_max(weight, source, target, bags)
        if mode == "mean":
            scale = wrap((1 / xp.bincount(target, minlength=bags)[target]).astype(weight.array.dtype), weight.device)
        grad_scale = 1 / frequencies(xp, source, weight.array.shape[0]) if scale_grad_by_freq else None
        return fn.add_rows(weight, scale, source, target, bags, grad_scale)

    @staticmethod
    def _bags(index: Any, offsets: Tensor | None, include_last: bool) -> tuple[int, Any]:
        """(number of bags, the bag of each index)."""
        if index.ndim == 2:
            if offsets is not None:
                raise ValueError("embedding_bag: a 2-D input is cut by its rows; offsets must be None")
            return index.shape[0], np.repeat(np.arange(index.shape[0]), index.shape[1])
        if index.ndim != 1:
            raise ValueError(f"embedding_bag: input must have 1 or 2 dims, got shape {tuple(index.shape)}")
        if offsets is None:
            raise ValueError("embedding_bag: a 1-D input needs offsets, where each bag starts")
        starts = offsets.device.backend.to_numpy(offsets.array).astype(np.int64)
        if starts.ndim != 1 or (starts.size and starts[0] != 0) or (np.diff(starts) < 0).any() or (starts > index.size).any():
            raise RuntimeError(f"embedding_bag: offsets must rise from 0 to at most {index.size}, the length of input; "
                               f"got {starts.tolist()}")
        if include_last and (not starts.size or starts[-1] != index.size):
            raise RuntimeError(f"embedding_bag: with include_last_offset the last offset must be {index.size}, the length of input")
        ends = starts[1:] if include_last else np.append(starts[1:], index.size)
        starts = starts[: len(ends)]
        return len(starts), np.repeat(np.arange(len(starts)), ends - starts)

    @staticmethod
    def _weights(given: Tensor | None, input: Tensor, weight: Tensor, mode: str) -> Tensor | None:
        if given is None:
            return None
        if mode != "sum":
            raise NotImplementedError(f"embedding_bag: per_sample_weights go with mode 'sum' only, not {mode!r}")
        if given.array.shape != input.array.shape:
            raise ValueError(f"embedding_bag: per_sample_weights have shape {tuple(given.shape)} but input {tuple(input.shape)}")
        if given.array.dtype != weight.array.dtype:
            raise RuntimeError(f"embedding_bag: per_sample_weights are {given.dtype.name} but weight is {weight.dtype.name}")
        return fn.reshape(given, given.array.size)

    def reference(self, input: Any, weight: Any, offsets: Any = None, mode: str = "mean", per_sample_weights: Any = None,
                  include_last_offset: bool = False, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> Any:
        scales = np.ones(input.shape) if per_sample_weights is None else per_sample_weights
        if input.ndim == 2:
            bags = [(list(i), list(s)) for i, s in zip(input, scales, strict=True)]
        else:
            ends = [*offsets[1:], *([] if include_last_offset else [len(input)])]
            bags = [(list(input[a:b]), list(scales[a:b])) for a, b in zip(offsets, ends, strict=False)]
        out = np.zeros((len(bags), weight.shape[1]))
        combine: Any = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
        for b, (rows, factors) in enumerate(bags):
            terms = [weight[r] * f for r, f in zip(rows, factors, strict=True) if r != padding_idx]
            if terms:
                out[b] = combine(terms, axis=0)
        return out

    def cases(self) -> Iterable[Case]:
        two, one = T(3, 4, dtype="int64", low=0, high=7), T(9, dtype="int64", low=0, high=7)
        cuts = T(values=[0, 2, 2, 7], dtype="int64")
        for mode in ("sum", "mean", "max"):
            yield from (Case(two, T(7, 5, distinct=True), mode=mode), Case(one, T(7, 3, distinct=True), cuts, mode=mode))
        yield Case(one, T(7, 3), cuts, mode="sum", per_sample_weights=T(9))
        yield Case(two, T(7, 3), mode="mean", padding_idx=2)
        yield Case(one, T(7, 3), mode="sum", error=(ValueError, "embedding_bag: a 1-D input needs offsets"))
        yield Case(two, T(7, 3), cuts, error=(ValueError, "offsets must be None"))
        yield Case(two, T(7, 3), mode="median", error=(ValueError, "mode must be 'sum', 'mean' or 'max'"))
        yield Case(one, T(7, 3), T(values=[1, 2], dtype="int64"), error=(RuntimeError, "offsets must rise from 0 to at most 9"))
        yield Case(T(values=[[0, 9]], dtype="int64"), T(5, 3), error=(IndexError, "embedding_bag: index 9 at position (0, 1)"))
