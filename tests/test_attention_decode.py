"""Attention with few queries and many keys, as when a model writes a word at a time: keys shared among blocks, a cache not copied."""
from __future__ import annotations

import contextlib

import numpy as np
import pytest
from test_attention_ladder import TOLERANCE, error, forward, problem, reference, rng_of

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.nn import functional as F
from tensorgrad.ops.shared import attention as shared

emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)


@pytest.mark.parametrize(("heads", "key_heads", "queries"), [(2, 2, 1), (8, 2, 1), (6, 1, 3), (4, 4, 16)])
def test_many_keys(heads, key_heads, queries):
    """Parts of several tiles each, the last with fewer; groups of heads that fill a block's rows, or more than one block's."""
    for name, mask in (("bfloat16", "padding"), ("float32", "bias"), ("float16", "none")):
        arguments = problem(rng_of(heads, queries, name), name, (2, heads, key_heads, queries, 1100, 64, 40), mask)
        out, lse = forward("cuda/decode", name, *arguments)
        want, want_lse = reference(*arguments)
        assert error(out, want) <= TOLERANCE[name]
        np.testing.assert_allclose(lse, want_lse, rtol=1e-5, atol=1e-5)


def test_the_same_bits_in_any_order_of_threads():
    arguments = problem(rng_of("bits"), "bfloat16", (1, 4, 2, 2, 1500, 64, 64), "none")
    results = []
    for seed in range(3):
        emu.configure(seed=seed)
        results.append(forward("cuda/decode", "bfloat16", *arguments)[0].view(np.uint16))
    emu.configure(seed=0)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_few_queries_and_many_keys_choose_it():
    cache = tg.ones(1, 2, 600, 16, device="emu", dtype=tg.bfloat16).array
    for queries, keys, path in ((1, 600, "cuda/decode"), (16, 512, "cuda/decode"), (17, 600, "cuda/v03_flash_hopper"),
                                (1, 511, "cuda/v03_flash_hopper")):
        call = shared.call_of(tg.device("emu"), cache[:, :, :queries], cache[:, :, :keys], cache[:, :, :keys], None, False)
        assert dispatch.choose(dispatch._ops["attention"], tg.device("emu"), "bfloat16", *call).path == path


@pytest.mark.parametrize("device", ["cpu", "emu"])
def test_the_filled_part_of_a_cache_is_not_copied(device):
    caches = [np.zeros((2, 3, 640, 32), np.float32)]
    if device == "emu":  # (B, T, H, D) as well, as projections leave it
        caches.append(np.zeros((2, 640, 3, 32), np.float32).transpose(0, 2, 1, 3))
    for cache in caches:
        filled = cache[:, :, :600]
        _, k, v = shared.as_read(tg.device(device), np.zeros((2, 3, 1, 32), np.float32), filled, filled)
        assert k is filled
        assert v is filled


class Writer:
    """A causal layer of attention with two key heads for four query heads, and an embedding: enough to write words with."""

    def __init__(self, device, dtype, size=32):
        rng = np.random.default_rng(3)
        self.table, self.q, self.kv, self.out = (tg.tensor(rng.standard_normal(s).astype(np.float32) * 0.4, device=device, dtype=dtype)
                                                 for s in ((19, size), (64, size), (64, size), (19, 64)))
        self.device, self.dtype = device, dtype

    def project(self, words):
        x = F.embedding(words, self.table)
        b, n, _ = x.shape
        k, v = F.linear(x, self.kv).reshape(b, n, 2, 2, 16).permute(2, 0, 3, 1, 4).unbind(0)
        return F.linear(x, self.q).reshape(b, n, 4, 16).transpose(1, 2), k, v

    def scores(self, heads):
        return F.linear(heads.transpose(1, 2).reshape(heads.shape[0], heads.shape[2], 64), self.out)


@pytest.mark.parametrize(("device", "name"), [("cpu", "float32"), ("emu", "float32"), ("emu", "bfloat16")])
def test_words_written_with_a_cache_are_those_of_the_whole_sequence(device, name):
    """Two sequences of different lengths in one cache, a step a word: masks say how far each is; against all of it anew for each word."""
    writer = Writer(device, getattr(tg, name))
    rng = np.random.default_rng(1)
    far = 1e-5 if name == "float32" else 0.02
    lengths, steps, room = np.array([530, 517]), 4, 560
    start = rng.integers(0, 19, (2, lengths.max()))
    with tg.no_grad():
        k_cache, v_cache = (tg.zeros(2, 2, room, 16, device=device, dtype=writer.dtype) for _ in range(2))
        _, k, v = writer.project(tg.tensor(start, device=device))
        k_cache[:, :, :lengths.max()], v_cache[:, :, :lengths.max()] = k, v
        words = [list(start[i, :n]) for i, n in enumerate(lengths)]
        for step in range(steps):
            last = tg.tensor(np.array([[w[-1]] for w in words]), device=device)
            q, k, v = writer.project(last)
            for i in range(2):
                at = int(lengths[i]) + step - 1
                k_cache[i, :, at:at + 1], v_cache[i, :, at:at + 1] = k[i], v[i]
            filled = int(lengths.max()) + step
            seen = tg.tensor((np.arange(filled) < (lengths + step)[:, None])[:, None, None, :], device=device)
            with tg.kernels.use("attention", "cuda/decode") if device == "emu" else contextlib.nullcontext():
                heads = F.scaled_dot_product_attention(q, k_cache[:, :, :filled], v_cache[:, :, :filled], seen, enable_gqa=True)
            scores = writer.scores(heads).numpy().astype(np.float32)[:, 0]
            for i in range(2):
                q, k, v = writer.project(tg.tensor(np.array([words[i]]), device=device))
                whole = writer.scores(F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))
                want = whole.numpy().astype(np.float32)[0, -1]
                np.testing.assert_allclose(scores[i], want, rtol=far, atol=far)
                words[i].append(int(want.argmax()))


def test_decode_refuses_what_it_does_not_hold():
    x = tg.ones(1, 1, 1, 264, device="emu", dtype=tg.bfloat16)
    with tg.kernels.use("attention", "cuda/decode"), pytest.raises(NotImplementedError, match="cuda/decode holds heads of up to 512 bytes"):
        F.scaled_dot_product_attention(x, x, x)
