"""Reading an einsum equation, and contracting two operands as a batched matmul."""
from __future__ import annotations

import math
from collections.abc import Sequence

from ...op import fn
from ...tensor import Tensor

Labels = list[str]  # one for each dim; the dims of an ellipsis are named "0", "1", ... counted from the right


def parse(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the output; RuntimeError says what does not fit."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise RuntimeError(f"einsum: {equation!r} is for {len(terms)} operands, {len(shapes)} given")
    labels = [labels_of(equation, term, shape, k) for k, (term, shape) in enumerate(zip(terms, shapes, strict=True))]
    _check_sizes(labels, shapes)
    spread = max((sum(c.isdigit() for c in row) for row in labels), default=0)
    ellipsis = [str(i) for i in range(spread - 1, -1, -1)]
    letters = [c for row in labels for c in row if not c.isdigit()]
    if not arrow:
        return labels, ellipsis + sorted(c for c in set(letters) if letters.count(c) == 1)
    before, dots, after = right.partition("...")
    output = [*before, *(ellipsis if dots else []), *after]
    for c in output:
        if c not in letters and not c.isdigit():
            raise RuntimeError(f"einsum: {c!r} in the output of {equation!r} is in no operand")
        if output.count(c) > 1:
            raise RuntimeError(f"einsum: {c!r} appears more than once in the output of {equation!r}")
    return labels, output


def labels_of(equation: str, term: str, shape: tuple[int, ...], k: int) -> Labels:
    """The labels of operand `k`."""
    before, dots, after = term.partition("...")
    for c in before + after:
        if not (c.isascii() and c.isalpha()):
            raise RuntimeError(f"einsum: {c!r} in {equation!r} is no letter")
    named = len(before) + len(after)
    if named > len(shape) or (named < len(shape) and not dots):
        raise RuntimeError(f"einsum: operand {k} has {len(shape)} dimensions of shape {tuple(shape)} but {term!r} names {named}")
    return [*before, *[str(i) for i in range(len(shape) - named - 1, -1, -1)], *after]


def _check_sizes(labels: list[Labels], shapes: Sequence[tuple[int, ...]]) -> None:
    seen: dict[str, tuple[int, int]] = {}
    for k, (row, shape) in enumerate(zip(labels, shapes, strict=True)):
        for c, n in zip(row, shape, strict=True):
            m, first = seen.get(c, (1, k))
            if m != 1 and n != 1 and m != n:
                name = "a dim of ..." if c.isdigit() else repr(c)
                raise RuntimeError(f"einsum: {name} is {m} in operand {first} of shape {tuple(shapes[first])} but {n} in operand {k} of "
                                   f"shape {tuple(shape)}")
            if n != 1 or c not in seen:
                seen[c] = (n, k)


def contract(tensors: list[Tensor], terms: list[Labels], output: Labels) -> Tensor:
    """The sum of products, pair by pair from left to right."""
    x, row = _diagonals(tensors[0], terms[0])
    for k in range(1, len(tensors)):
        y, other = _diagonals(tensors[k], terms[k])
        later = {c for t in terms[k + 1:] for c in t} | set(output)
        x, row = _pair(_summed(x, row, later | set(other)), _summed(y, other, later | set(row)), later)
    x, row = _summed(x, row, set(output))
    return fn.permute(x, tuple([row.index(c) for c in output])) if row != output else x


def _diagonals(x: Tensor, row: Labels) -> tuple[Tensor, Labels]:
    """The operand with each label once."""
    for c in sorted(set(row)):
        while row.count(c) > 1:
            i = row.index(c)
            j = row.index(c, i + 1)
            sizes = x.array.shape[i], x.array.shape[j]
            if sizes[0] != sizes[1]:  # one is 1: it broadcasts
                x = x.expand(tuple([max(sizes) if d in (i, j) else -1 for d in range(len(row))]))
            x = fn.diagonal(x, 0, i, j)
            row = [*row[:i], *row[i + 1:j], *row[j + 1:], c]
    return x, row


def _summed(x: Tensor, row: Labels, kept: set[str]) -> tuple[Tensor, Labels]:
    """The operand without the labels that nobody needs any more."""
    gone = [d for d, c in enumerate(row) if c not in kept]
    return (x.sum(gone), [c for c in row if c in kept]) if gone else (x, row)


def _pair(first: tuple[Tensor, Labels], second: tuple[Tensor, Labels], kept: set[str]) -> tuple[Tensor, Labels]:
    """Two operands as one: shared labels that are kept are the batch, the others are multiplied and summed."""
    (x, a), (y, b) = first, second
    sizes = dict(zip(a, x.array.shape, strict=True))
    for c, n in zip(b, y.array.shape, strict=True):
        sizes[c] = n if sizes.get(c, 1) == 1 else sizes[c]
    batch = [c for c in a if c in b and c in kept]
    inner = [c for c in a if c in b and c not in kept]
    rows, columns = [c for c in a if c not in b], [c for c in b if c not in a]
    x = _spread(x, a, [*batch, *rows, *inner], sizes)
    y = _spread(y, b, [*batch, *inner, *columns], sizes)
    if not inner:  # nothing to sum: a product that broadcasts
        x = x.reshape(x.array.shape + (1,) * len(columns))
        y = y.reshape((*y.array.shape[:len(batch)], *(1,) * len(rows), *y.array.shape[len(batch):]))
        return x * y, [*batch, *rows, *columns]
    size = {name: [sizes[c] for c in names] for name, names in (("batch", batch), ("rows", rows), ("inner", inner), ("columns", columns))}
    n, m = math.prod(size["inner"]), math.prod(size["rows"])
    x = x.reshape((*size["batch"], m, n))  # (B..., M, K)
    y = y.reshape((*size["batch"], n, math.prod(size["columns"])))  # (B..., K, N)
    return fn.matmul(x, y).reshape((*size["batch"], *size["rows"], *size["columns"])), [*batch, *rows, *columns]


def _spread(x: Tensor, row: Labels, order: Labels, sizes: dict[str, int]) -> Tensor:
    """The operand's dims in the given order, those of size 1 expanded where the other operand has more."""
    if row != order:
        x = fn.permute(x, tuple([row.index(c) for c in order]))
    shape = tuple([sizes[c] for c in order])
    return x if x.array.shape == shape else x.expand(shape)
