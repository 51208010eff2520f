"""Many arrays in one launch: a table in the GPU's memory says where they lie, and a program finds there which piece of which is its own.

An entry's arrays are of one length: a parameter, its gradient, its state. All entries together are cut into chunks, an entry into as many
as it needs, and program b has chunk b. The table is lines of 64-bit numbers: each entry's first chunk, its size, then addresses, a line a
slot.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import triton.language as tl

from ..runtime import address_of, cdiv, device_function

MOST = 256  # entries of a table: a program reads all their first chunks at once
CHUNK = 1024  # elements


@device_function
def chunk_of(TABLE, count, MOST: tl.constexpr, CHUNK: tl.constexpr):
    # The entry of this program, where in its arrays the chunk begins, and how many elements of them are left there.
    e, b = tl.arange(0, MOST), tl.program_id(0)
    first = tl.load(TABLE + e, mask=e < count, other=0x7FFFFFFFFFFFFFFF)
    entry = tl.sum((first <= b).to(tl.int32), 0) - 1
    begin = (b - tl.load(TABLE + entry)) * CHUNK
    return entry, begin, tl.load(TABLE + count + entry) - begin


@device_function
def address(TABLE, count, entry, SLOT: tl.constexpr):
    # Of the array in a slot of an entry.
    return tl.load(TABLE + (2 + SLOT) * count + entry)


@device_function
def array_at(at, begin, T: tl.constexpr, WHOLE: tl.constexpr):
    # An array from its address on: that of a whole chunk starts at a multiple of 16 bytes, so it is moved 16 bytes a time.
    at = at.to(tl.pointer_type(T))
    return (tl.multiple_of(at, 16) if WHOLE else at) + begin


def tables(columns: Sequence[Sequence[Any]], chunk: int = CHUNK) -> Iterator[tuple[list[list[int]], int, int]]:
    """(table, its entries, its chunks) of lists of arrays, a list a slot, which most calls need one of. Empty arrays are in none."""
    entries = [k for k, a in enumerate(columns[0]) if a.size]
    for start in range(0, len(entries), MOST):
        some = entries[start:start + MOST]
        sizes, firsts, chunks = [columns[0][k].size for k in some], [], 0
        for size in sizes:
            firsts.append(chunks)
            chunks += cdiv(size, chunk)
        yield [firsts, sizes, *[[address_of(column[k]) for k in some] for column in columns]], len(some), chunks
