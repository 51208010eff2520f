"""Random numbers: the published bits of Philox, distributions by moments and by Kolmogorov-Smirnov and chi-square tests, seeds."""
from __future__ import annotations

import math

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.random import Generator, signed64

N = 200_000


def philox(counter, key):
    """Philox 4x32-10 written from the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


KNOWN = [  # counter, key, output: the known answers published with Random123
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


@pytest.mark.parametrize(("counter", "key", "want"), KNOWN)
def test_known_answers(counter, key, want):
    assert philox(counter, key) == want


@pytest.mark.parametrize("seed", [0, 1, 0x299F31D0A4093822, (1 << 64) - 1])
@pytest.mark.parametrize("block", [0, 5, (1 << 32) - 2, (1 << 40) + 3])
def test_kernel_makes_these_bits(seed, block):
    generator = Generator()
    generator.set_state((seed, block))
    got = generator.bits(4 * 19 - 1)
    key = [seed & 0xFFFFFFFF, seed >> 32]
    want = [w for b in range(block, block + 19) for w in philox([b & 0xFFFFFFFF, b >> 32, 0, 0], key)]
    assert got.tolist() == want[:-1]
    assert generator.get_state() == (seed, block + 19)
    assert signed64((1 << 64) - 1) == -1


def test_seed_repeats_and_state_is_restored():
    tg.manual_seed(7)
    first = tg.rand(5), tg.randn(3), tg.randint(0, 9, (4,)), tg.randperm(6)
    state = tg.get_rng_state()
    later = tg.rand(4)
    tg.manual_seed(7)
    assert tg.initial_seed() == 7
    for a, b in zip(first, (tg.rand(5), tg.randn(3), tg.randint(0, 9, (4,)), tg.randperm(6)), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    tg.set_rng_state(state)
    assert np.array_equal(tg.rand(4).numpy(), later.numpy())
    with tg.fork_rng():
        tg.rand(100)
    assert np.array_equal(tg.rand(4).numpy(), (tg.set_rng_state(state), tg.rand(4), tg.rand(4))[2].numpy())


def test_a_generator_has_its_own_stream():
    a, b = Generator().manual_seed(1), Generator().manual_seed(1)
    before = tg.get_rng_state()
    assert np.array_equal(tg.rand(9, generator=a).numpy(), tg.rand(9, generator=b).numpy())
    assert tg.get_rng_state() == before
    assert not np.array_equal(tg.rand(9, generator=a).numpy(), tg.rand(9, generator=Generator().manual_seed(2)).numpy())
    with pytest.raises(TypeError, match="uniform_: generator must be a Generator, not a int"):
        tg.rand(2, generator=3)


@pytest.mark.parametrize("make", [tg.rand, tg.randn], ids=["rand", "randn"])
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_thread_count_changes_nothing(make, dtype):
    threads = tg.get_num_threads()
    drawn = []
    for n in (1, 2, 3):
        tg.set_num_threads(n)
        drawn.append(make(N, generator=Generator().manual_seed(5), dtype=dtype).numpy())
    tg.set_num_threads(threads)
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[0], drawn[2])


def ks(sample, cdf):
    """Kolmogorov and Smirnov's distance times sqrt(n): above 1.95 with probability 0.001."""
    x = np.sort(np.asarray(sample, np.float64))
    f, n = cdf(x), len(x)
    return math.sqrt(n) * max(np.abs(np.arange(1, n + 1) / n - f).max(), np.abs(np.arange(n) / n - f).max())


def phi(x):
    return 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


DISTRIBUTIONS = {
    "uniform": (lambda g, d: tg.empty(N, dtype=d).uniform_(-1, 3, generator=g), lambda x: (x + 1) / 4),
    "normal": (lambda g, d: tg.empty(N, dtype=d).normal_(2, 0.5, generator=g), lambda x: phi((x - 2) / 0.5)),
    "exponential": (lambda g, d: tg.empty(N, dtype=d).exponential_(2.0, generator=g), lambda x: 1 - np.exp(-2 * x)),
    "cauchy": (lambda g, d: tg.empty(N, dtype=d).cauchy_(1, 2, generator=g), lambda x: 0.5 + np.arctan((x - 1) / 2) / math.pi),
    "log_normal": (lambda g, d: tg.empty(N, dtype=d).log_normal_(0, 1, generator=g), lambda x: phi(np.log(x))),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_distribution(name, dtype):
    make, cdf = DISTRIBUTIONS[name]
    assert ks(make(Generator().manual_seed(11), dtype).numpy(), cdf) < 1.95


def test_moments_of_normal():
    x = tg.randn(1_000_000, generator=Generator().manual_seed(3), dtype=tg.float64).numpy()
    for power, want, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((x**power).mean() - want) < 4 * math.sqrt(spread / len(x))
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4e-3
    assert abs(x).max() > 4.5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform_never_reaches_its_end(dtype):
    x = tg.rand(N, dtype=getattr(tg, dtype), generator=Generator().manual_seed(1)).double().numpy()
    assert x.min() >= 0
    assert x.max() < 1
    y = tg.empty(N, dtype=getattr(tg, dtype)).uniform_(5, 6, generator=Generator().manual_seed(1)).double().numpy()
    assert y.min() >= 5
    assert y.max() < 6


def chi_square(counts, expected):
    """Chi-square per degree of freedom, in standard deviations from 1."""
    counts, expected = np.asarray(counts, np.float64), np.asarray(expected, np.float64)
    k = len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - k) / math.sqrt(2 * k)


def test_integers_are_even():
    x = tg.randint(-3, 10, (N,), generator=Generator().manual_seed(4))
    assert x.dtype is tg.int64
    counts = np.bincount(x.numpy() + 3, minlength=13)
    assert len(counts) == 13
    assert abs(chi_square(counts, [N / 13] * 13)) < 4
    wide = tg.randint(0, 2**62 + 2**61, (N,), generator=Generator().manual_seed(4)).numpy()  # where a modulo would favour the low third
    assert abs((wide < 2**61).mean() - 1 / 3) < 4 * math.sqrt(2 / 9 / N)
    assert tg.empty(1000, dtype=tg.uint8).random_(generator=Generator().manual_seed(1)).numpy().max() == 255
    assert len(set(tg.empty(99, dtype=tg.int64).random_(generator=Generator()).tolist())) == 99


def test_bernoulli_and_geometric():
    p = tg.tensor([0.0, 0.1, 0.5, 1.0]).expand(N, 4)
    x = tg.bernoulli(p, generator=Generator().manual_seed(2))
    assert x.dtype is tg.float32
    mean = x.numpy().mean(0)
    assert mean[0] == 0
    assert mean[3] == 1
    assert np.abs(mean - [0, 0.1, 0.5, 1]).max() < 0.005
    assert abs(tg.empty(N, dtype=tg.bool).bernoulli_(0.3, generator=Generator()).numpy().mean() - 0.3) < 0.005
    g = tg.empty(N).geometric_(0.25, generator=Generator()).numpy()
    counts = np.bincount(g.astype(int))[1:8]
    assert abs(chi_square([*counts, N - counts.sum()], [*(N * 0.25 * 0.75 ** np.arange(7)), N * 0.75**7])) < 4


def test_multinomial():
    w = tg.tensor([[1.0, 0.0, 3.0, 4.0], [5.0, 1.0, 1.0, 1.0]])
    x = tg.multinomial(w, N, replacement=True, generator=Generator().manual_seed(6)).numpy()
    assert x.shape == (2, N)
    for row, weights in zip(x, w.numpy(), strict=True):
        some = weights > 0
        counts = np.bincount(row, minlength=4)
        assert counts[~some].sum() == 0
        assert abs(chi_square(counts[some], N * (weights / 8)[some])) < 4
    several = tg.multinomial(w[:1].expand(N // 4, 4), 2, generator=Generator().manual_seed(6)).numpy()
    assert (several[:, 0] != several[:, 1]).all()
    assert (several != 1).all()
    assert abs((several[:, 0] == 3).mean() - 0.5) < 0.01
    second = several[several[:, 0] == 3][:, 1]  # what is left once 3 was drawn: 1 to 3
    assert abs((second == 2).mean() - 0.75) < 0.015
    with pytest.raises(RuntimeError, match="cannot draw 4 samples without replacement"):
        tg.multinomial(w, 4)
    for bad in ([-1.0, 2.0], [np.nan, 1.0], [0.0, 0.0]):
        with pytest.raises(RuntimeError, match="multinomial: "):
            tg.multinomial(tg.tensor(bad), 1)


def test_permutations():
    g = Generator().manual_seed(9)
    drawn = np.array([tg.randperm(4, generator=g).tolist() for _ in range(12_000)])
    assert (np.sort(drawn, axis=1) == np.arange(4)).all()
    counts = np.unique(drawn @ [64, 16, 4, 1], return_counts=True)[1]
    assert len(counts) == 24
    assert abs(chi_square(counts, [500] * 24)) < 4
    assert tg.randperm(0).shape == (0,)


def test_shapes_dtypes_and_likes():
    assert tg.rand(2, 3).shape == tg.rand((2, 3)).shape == tg.randn(size=(2, 3)).shape == (2, 3)
    assert tg.rand(()).shape == ()
    assert tg.randn(0, 3).shape == (0, 3)
    assert tg.randint(5, (2,)).shape == tg.randint(high=5, size=(2,)).shape == (2,)
    assert tg.randint(0, 5, (2,), dtype=tg.float32).dtype is tg.float32
    like = tg.zeros(2, 3, dtype=tg.float64)
    assert tg.rand_like(like).dtype is tg.randn_like(like).dtype is tg.float64
    assert tg.randint_like(tg.zeros(3, dtype=tg.int32), 2, 5).dtype is tg.int32
    assert tg.rand(2, requires_grad=True).requires_grad
    assert tg.normal(0.0, 1.0, (2, 2)).shape == (2, 2)
    assert tg.normal(tg.zeros(3), tg.tensor([0.0, 0.0, 0.0])).tolist() == [0, 0, 0]
    assert tg.normal(tg.tensor([5.0]), 0.0).tolist() == [5]


def test_filling_a_view_and_a_leaf():
    x = tg.zeros(4, 3)
    x.t()[1].uniform_(2, 3)
    assert (x.numpy()[:, 1] >= 2).all()
    assert not x.numpy()[:, [0, 2]].any()
    leaf = tg.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="normal_: a leaf tensor"):
        leaf.normal_()
    with tg.no_grad():
        assert leaf.normal_().requires_grad


def test_wrong_calls():
    for call, message in (
        (lambda: tg.zeros(2, dtype=tg.int64).normal_(), "normal_: needs a floating tensor, got int64"),
        (lambda: tg.zeros(2).normal_(0, -1), "normal_: std must not be negative"),
        (lambda: tg.zeros(2).uniform_(1, 0), "uniform_: the interval"),
        (lambda: tg.randint(3, 3, (2,)), "random_: the interval"),
        (lambda: tg.zeros(2, dtype=tg.uint8).random_(0, 300), "does not fit in uint8"),
        (lambda: tg.zeros(2).bernoulli_(1.5), "probabilities must lie in"),
        (lambda: tg.zeros(2).exponential_(0), "lambd must be positive"),
        (lambda: tg.randperm(-1), "n must not be negative"),
    ):
        with pytest.raises(RuntimeError, match=message.replace("[", r"\[")):
            call()
