"""Clipping of gradients: the norm of all of them, and their scaling by it, which reads it where it is: the host never waits.

They are found by the table of the optimizers' steps. A program leaves the sum of a chunk, in float64, in memory to work in; one program
adds those up, in an order that sizes alone decide.
Figures: not yet measured on a GPU.
"""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import triton.language as tl

from .. import dtypes
from .runtime import device_function, kernel, rung
from .shared.table import MOST, address, array_at, chunk_of, tables

TYPES = "float32 float16 bfloat16"
CHUNK = 8192  # elements, whose sum has room in the memory that tensorgrad/ops/total_norm.py makes
BLOCK = 1024
NORMS = {2.0: "euclidean", 1.0: "taxicab", math.inf: "largest"}  # else general


@device_function
def merged(total, x, NORM: tl.constexpr):
    # A sum, or the larger one, which is not a number wherever one is not.
    return tl.where((x > total) | (x != x), x, total) if NORM == "largest" else total + x


@device_function
def all_of(total, NORM: tl.constexpr):
    if NORM == "largest":
        wrong = tl.sum((total != total).to(tl.int32), 0)
        return tl.where(wrong > 0, float("nan"), tl.max(tl.where(total != total, 0.0, total), 0))
    else:
        return tl.sum(total, 0)


@kernel
def chunk_norms(PARTS, TABLE, count, p, KIND: tl.constexpr, NORM: tl.constexpr, MOST: tl.constexpr, CHUNK: tl.constexpr,
                BLOCK: tl.constexpr):
    T: tl.constexpr = tl.float32 if KIND == "float32" else tl.float16 if KIND == "float16" else tl.bfloat16
    entry, begin, left = chunk_of(TABLE, count, MOST, CHUNK)
    x_at = array_at(address(TABLE, count, entry, 0), begin, T, False)
    total = tl.zeros([BLOCK], tl.float64)
    for start in range(0, CHUNK, BLOCK):
        i = start + tl.arange(0, BLOCK)
        x = tl.abs(tl.load(x_at + i, mask=i < left, other=0.0).to(tl.float32)).to(tl.float64)
        if NORM == "euclidean":
            x = x * x
        if NORM == "general":
            x = tl.exp2(p * tl.log2(x))
        total = merged(total, x, NORM)
    tl.store(PARTS + tl.program_id(0), all_of(total, NORM))


@kernel
def whole_norm(TOTAL, PARTS, count, p, NORM: tl.constexpr, BLOCK: tl.constexpr):
    total = tl.zeros([BLOCK], tl.float64)
    for start in range(0, count, BLOCK):
        i = start + tl.arange(0, BLOCK)
        total = merged(total, tl.load(PARTS + i, mask=i < count, other=0.0), NORM)
    norm = all_of(total, NORM)
    if NORM == "euclidean":
        norm = tl.sqrt(norm)
    if NORM == "general":
        norm = tl.exp2(tl.log2(norm) / p)
    tl.store(TOTAL, norm.to(tl.float32).to(TOTAL.dtype.element_ty))


@kernel
def change(TABLE, TOTAL, count, most, KIND: tl.constexpr, MOST: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    # Scales to the norm `most`, where TOTAL, the norm, is more; without it each element is limited to [-most, most].
    T: tl.constexpr = tl.float32 if KIND == "float32" else tl.float16 if KIND == "float16" else tl.bfloat16
    factor, end = tl.full([], most, tl.float32), CHUNK
    if TOTAL is not None:
        factor = (most / (tl.load(TOTAL).to(tl.float64) + 1e-6)).to(tl.float32)
    factor = factor.to(T).to(tl.float32)
    if TOTAL is not None:
        end = tl.where(factor >= 1, 0, CHUNK)  # a norm that is not a number shows in all gradients
    entry, begin, left = chunk_of(TABLE, count, MOST, CHUNK)
    at = array_at(address(TABLE, count, entry, 0), begin, T, False)
    for start in range(0, end, BLOCK):
        i = start + tl.arange(0, BLOCK)
        x = tl.load(at + i, mask=i < left, other=0.0).to(tl.float32)
        x = tl.where(x < -factor, -factor, tl.where(x > factor, factor, x)) if TOTAL is None else x * factor
        tl.store(at + i, x.to(T), mask=i < left)


def kind_of(array: Any) -> str:
    return dtypes.BY_NUMPY[array.dtype].name


@rung("total_norm", "triton/clip", TYPES, writes=(0, 1))
def total_norm(total: Any, parts: Any, arrays: Any, p: float, put: Any) -> None:
    norm, done = NORMS.get(p, "general"), 0
    for table, count, chunks in tables([arrays], CHUNK):
        chunk_norms[chunks](parts[done:], put(np.array(table)), np.int64(count), p, KIND=kind_of(total), NORM=norm, MOST=MOST, CHUNK=CHUNK,
                            BLOCK=BLOCK, num_warps=4)
        done += chunks
    whole_norm[1](total, parts, np.int64(done), p, NORM=norm, BLOCK=BLOCK, num_warps=4)


def change_all(arrays: Any, total: Any, most: float, put: Any) -> None:
    for table, count, chunks in tables([arrays], CHUNK):
        change[chunks](put(np.array(table)), total, np.int64(count), most, KIND=kind_of(arrays[0]), MOST=MOST, CHUNK=CHUNK, BLOCK=BLOCK,
                       num_warps=4)


@rung("clip_to_norm_", "triton/clip", TYPES)
def clip_to_norm(arrays: Any, total: Any, max_norm: float, put: Any) -> None:
    change_all(arrays, total, max_norm, put)


@rung("clip_to_value_", "triton/clip", TYPES)
def clip_to_value(arrays: Any, limit: float, put: Any) -> None:
    change_all(arrays, None, limit, put)
