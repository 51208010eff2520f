"""Losses of scores x against class labels t, from what a pass over the classes has found:

    loss = (1 - s) w_t (lse - x_t) + s / C sum_c w_c (lse - x_c)                 s: label smoothing, w: class weights

`rest` is 1 - s and `uniform` s / C; SMOOTH: s is not 0.
"""
from __future__ import annotations

import triton.language as tl

from ..runtime import device_function


@device_function
def weights_of(W, c, n):
    # The weights of classes, 0 beyond the last.
    if W is None:
        return tl.where(c < n, 1.0, 0.0)
    else:
        return tl.load(W + c, mask=c < n, other=0.0).to(tl.float32)


@device_function
def weight_of(W, t, counts):
    # The weights of labels, 0 where they do not count.
    if W is None:
        return tl.where(counts, 1.0, 0.0)
    else:
        return tl.load(W + t, mask=counts, other=0.0).to(tl.float32)


@device_function
def loss_of(top, log_sum, own, weighted, weights, w, counts, rest, uniform, SMOOTH: tl.constexpr):
    # From x_t, sum_c w_c x_c and sum_c w_c of each position.
    loss = rest * w * ((top - own) + log_sum)
    if SMOOTH:
        loss += uniform * ((top + log_sum) * weights - weighted)
    return tl.where(counts, loss, 0.0)
