"""Sequences of different lengths in one batch: padded to the longest, or packed, step after step, without the padding."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...op import fn
from ...tensor import Tensor, wrap


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """The steps of all sequences, longest sequence first: `data` holds all first steps, then all second ones, ...

    `batch_sizes` (int64, on the host) says how many sequences have each step. `sorted_indices` puts the sequences into that order,
    `unsorted_indices` back. Made by `pack_padded_sequence` and `pack_sequence`; recurrent layers take it and give one.
    """

    def __new__(cls, data: Tensor, batch_sizes: Tensor | None = None, sorted_indices: Tensor | None = None,
                unsorted_indices: Tensor | None = None) -> PackedSequence:
        if not isinstance(batch_sizes, Tensor):
            raise TypeError(f"PackedSequence: batch_sizes must be a Tensor, not a {type(batch_sizes).__name__}")
        if batch_sizes.device.type != "cpu":
            raise ValueError(f"PackedSequence: batch_sizes must be on the cpu, they are on {batch_sizes.device}")
        return super().__new__(cls, data, batch_sizes, sorted_indices,
                               invert_permutation(sorted_indices) if unsorted_indices is None else unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with `data` of another dtype or on another device; the indices follow to the device."""
        data = self.data.to(*args, **kwargs)
        moved = [None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(data, self.batch_sizes, *moved)

    def cpu(self) -> PackedSequence:
        """The same on the CPU."""
        return self.to("cpu")

    def cuda(self, *args: Any) -> PackedSequence:
        """The same on a CUDA device."""
        return self.to(fn.cuda(self.data, *args).device)

    def double(self) -> PackedSequence:
        """The same in float64."""
        return self.to("float64")

    def float(self) -> PackedSequence:
        """The same in float32."""
        return self.to("float32")

    def half(self) -> PackedSequence:
        """The same in float16."""
        return self.to("float16")

    def pin_memory(self) -> PackedSequence:
        """The same with `data` where a GPU reads it fast."""
        return self._replace(data=fn.pin_memory(self.data))

    @property
    def is_cuda(self) -> bool:
        """Whether `data` is on a CUDA device."""
        return self.data.device.type == "cuda"

    def _runs(self) -> list[Tensor]:
        """The steps that as many sequences have, together: (steps, sequences, ...) for each number of sequences."""
        runs, at = [], 0
        for rows, steps in _run_lengths(self.batch_sizes):
            runs.append(self.data[at: at + rows * steps].reshape(steps, rows, *self.data.shape[1:]))
            at += rows * steps
        return runs

    def _with(self, runs: list[Tensor]) -> PackedSequence:
        """The same lengths and order with other data."""
        flat = [r.reshape(r.shape[0] * r.shape[1], *r.shape[2:]) for r in runs]
        return PackedSequence(fn.cat(flat), self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def _unsorted(self, state: Tensor) -> Tensor:
        """A state (layers, sequences, features) in the order of the sequences before they were sorted."""
        return state if self.unsorted_indices is None else state.index_select(1, self.unsorted_indices)


def _run_lengths(batch_sizes: Tensor) -> list[tuple[int, int]]:
    """[(batch size, how many steps have it), ...]."""
    runs: list[tuple[int, int]] = []
    for rows in batch_sizes.tolist():
        if runs and runs[-1][0] == rows:
            runs[-1] = (rows, runs[-1][1] + 1)
        else:
            runs.append((rows, 1))
    return runs


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another."""
    if permutation is None:
        return None
    order = np.argsort(permutation.device.backend.to_numpy(permutation.array))
    return wrap(permutation.device.backend.asarray(order.astype(np.int64)), permutation.device)


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (T, N, ...), or (N, T, ...), of `lengths`; they must be sorted, the longest first, or `enforce_sorted` be off."""
    sizes = np.asarray(lengths.cpu().numpy() if isinstance(lengths, Tensor) else lengths).reshape(-1).astype(np.int64)
    x = input.transpose(0, 1) if batch_first else input  # (T, N, ...)
    if len(sizes) != x.shape[1]:
        raise RuntimeError(f"pack_padded_sequence: there are {x.shape[1]} sequences in input of shape {tuple(input.shape)} but "
                           f"{len(sizes)} lengths")
    if len(sizes) == 0 or sizes.min() <= 0 or sizes.max() > x.shape[0]:
        found = f"{sizes.min()} to {sizes.max()}" if len(sizes) else "none"
        raise RuntimeError(f"pack_padded_sequence: lengths must be from 1 to {x.shape[0]}, the steps of input, they are {found}")
    order = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        sizes = sizes[order]
    elif (np.diff(sizes) > 0).any():
        raise RuntimeError(f"pack_padded_sequence: lengths must not grow, they are {sizes.tolist()}; sort the sequences or pass "
                           "enforce_sorted=False")
    indices = None if order is None else wrap(input.device.backend.asarray(order), input.device)
    x = x if indices is None else x.index_select(1, indices)
    batch_sizes = (np.arange(sizes[0])[:, None] < sizes).sum(1)  # (T,)
    parts, at = [], 0
    for rows, steps in _run_lengths(wrap(batch_sizes)):
        parts.append(x[at: at + steps, :rows].reshape(steps * rows, *x.shape[2:]))
        at += steps
    return PackedSequence(fn.cat(parts), wrap(batch_sizes.astype(np.int64)), indices)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Tensor, Tensor]:
    """(padded, lengths): the sequences as (T, N, ...), or (N, T, ...), in their first order; T is the longest or `total_length`."""
    steps, rows = len(sequence.batch_sizes), int(sequence.batch_sizes.tolist()[0])
    total = steps if total_length is None else total_length
    if total < steps:
        raise ValueError(f"pad_packed_sequence: total_length is {total}, the longest sequence has {steps} steps")
    parts = []
    for run in sequence._runs():
        missing = (0, 0) * (run.ndim - 2) + (0, rows - run.shape[1])
        parts.append(fn.pad(run, missing, value=padding_value))
    out = fn.cat(parts)
    out = fn.pad(out, (0, 0) * (out.ndim - 1) + (0, total - steps), value=padding_value) if total > steps else out
    sizes = np.asarray(sequence.batch_sizes.numpy())
    lengths = wrap((np.arange(rows)[:, None] < sizes).sum(1).astype(np.int64))
    if sequence.unsorted_indices is not None:
        out, lengths = out.index_select(1, sequence.unsorted_indices), lengths[sequence.unsorted_indices.cpu()]
    return out.transpose(0, 1) if batch_first else out, lengths


def pad_sequence(sequences: Tensor | Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Tensor:
    """Tensors (L_i, ...) as one, (longest, N, ...) or (N, longest, ...), padded at the "right" or "left" end."""
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"pad_sequence: padding_side must be 'right' or 'left', not {padding_side!r}")
    items = list(fn.unbind(sequences)) if isinstance(sequences, Tensor) else list(sequences)
    if not items or not all(isinstance(t, Tensor) for t in items):
        raise RuntimeError("pad_sequence: expected at least one sequence, each a Tensor")
    longest = max(len(t) for t in items)
    padded = []
    for t in items:
        if t.shape[1:] != items[0].shape[1:]:
            raise RuntimeError(f"pad_sequence: sequences of shapes {tuple(items[0].shape)} and {tuple(t.shape)} differ in more than their "
                               "length")
        missing = longest - len(t)
        padded.append(fn.pad(t, (0, 0) * (t.ndim - 1) + ((missing, 0) if padding_side == "left" else (0, missing)), value=padding_value))
    return fn.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The first `lengths` steps of each of the sequences (T, N, ...), or (N, T, ...)."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(fn.unbind(x), lengths.tolist(), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack tensors (L_i, ...); the longest first, unless `enforce_sorted` is off."""
    return pack_padded_sequence(pad_sequence(sequences), [len(t) for t in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a batch, each of its own length."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))
