"""The emulator itself: every primitive against its definition, every failure with the place it names.

The kernels are in tests/emulator; they are compiled here, against the emulator's sources.
"""
from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FLAGS = ["-std=c++20", "-O1", "-g1", "-gdwarf-5", "-fPIC", "-fno-extern-tls-init", "-fstack-clash-protection", "-Wno-unknown-pragmas",
         f"-ffile-prefix-map={ROOT}/=", "-x", "c++"]
NAN = np.float32(np.nan)

pytestmark = pytest.mark.skipif(platform.system() != "Linux" or not shutil.which("g++"), reason="needs Linux and g++")


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The emulator and the test kernels as a shared library."""
    out = tmp_path_factory.mktemp("emulator")
    sources = [*ROOT.glob("csrc/emulator/*.cpp"), *ROOT.glob("tests/emulator/*.cu")]
    compiler = ["ccache", "g++"] if shutil.which("ccache") else ["g++"]

    def compile_one(source):
        target = out / f"{source.stem}_{source.suffix[1:]}.o"
        subprocess.run([*compiler, *FLAGS, "-c", str(source), "-o", str(target)], check=True, capture_output=True, text=True)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    subprocess.run(["g++", "-shared", *objects, "-o", str(out / "tests.so"), "-pthread"], check=True)
    lib = ctypes.CDLL(str(out / "tests.so"))
    lib.run.restype = ctypes.c_char_p
    return lib


@pytest.fixture(params=[0, 1, 12345], ids=lambda s: f"seed{s}")
def run(library, request):
    """Runs a case: (the array it leaves, the message of its error)."""
    library.configure(request.param, False, 0)

    def run_case(name, data=None, n=256):
        data = np.full(n, NAN) if data is None else np.ascontiguousarray(data, np.float32)
        message = library.run(name.encode(), data.ctypes.data_as(ctypes.c_void_p), data.size).decode()
        return data, message

    yield run_case
    library.configure(0, False, 0)


def good(run, *args, **kwargs):
    data, message = run(*args, **kwargs)
    assert message == ""
    return data


# ---------------------------------------------------------------- primitives


@pytest.mark.parametrize(("case", "width", "threads"), [("shuffles_32", 32, 64), ("shuffles_8", 8, 64), ("shuffles_partial", 32, 40)])
def test_shuffles(run, case, width, threads):
    got = good(run, case).reshape(4, 64)[:, :threads]
    t = np.arange(threads)
    first = t // width * width
    last = first + width - 1
    want = np.stack([first + 3, np.where(t - 2 < first, t, t - 2), np.where(t + 2 > last, t, t + 2), np.where(t ^ 5 > last, t, t ^ 5)])
    want = np.where(want >= threads, np.nan, want.astype(np.float32))  # lanes that are not there
    np.testing.assert_array_equal(got, want)


def test_halves_of_a_warp_meet_on_their_own(run):
    got = good(run, "halves")[:64].reshape(2, 32)
    for warp, row in enumerate(got):
        assert (row[:16] == 32 * warp * 16 + 120).all()
        np.testing.assert_array_equal(row[16:], 32 * warp + np.append(np.arange(17, 32), 31))


def test_votes(run):
    got = good(run, "votes")[:192].reshape(3, 2, 32)
    np.testing.assert_array_equal(got[:, :, 0], [[11, 11], [0, 1], [1, 0]])
    assert (got == got[:, :, :1]).all()


def test_barrier_reductions(run):
    got = good(run, "counts")[:192].reshape(3, 64)
    assert (got == [[13], [1], [0]]).all()


def test_atomics_over_blocks(run):
    n = 50 * 96
    np.testing.assert_array_equal(good(run, "atomics")[:7], [n, n * (n - 1) // 2, n - 1, 1 - n, 1, 7, n / 2])


def test_returned_threads_are_not_waited_for(run):
    got = good(run, "early_return")
    assert (got[:40] == 40).all()
    assert np.isnan(got[40:]).all()


def test_blocks_shared_memory_and_vectors(run):
    x = np.arange(256 * 40, dtype=np.float32)
    want = x.reshape(40, 64, 4)[:, ::-1].copy()
    want[..., 0] += x.size
    np.testing.assert_array_equal(good(run, "reverse", x).reshape(want.shape), want)


def test_every_thread_of_every_block_runs_once(run):
    got = good(run, "indices", np.zeros(360))
    np.testing.assert_array_equal(got.reshape(12, 30), 1000 * np.arange(12)[:, None] + np.arange(30))


def test_seeds_shuffle_the_order(library):
    orders = set()
    for seed in (0, 1, 2):
        library.configure(seed, False, 0)
        data = np.full(64, NAN)
        assert library.run(b"start_order", data.ctypes.data_as(ctypes.c_void_p), 64) == b""
        assert sorted(data) == list(range(64))
        orders.add(tuple(data))
    library.configure(0, False, 0)
    assert len(orders) == 3
    assert tuple(range(64)) in orders


def test_sixteen_bit_floats_round_as_numpy_does(run):
    rng = np.random.default_rng(0)
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    with np.errstate(invalid="ignore"):  # some of them are signalling NaN
        x = np.concatenate([halves, np.nextafter(halves, np.inf, dtype=np.float32), rng.standard_normal(5000).astype(np.float32),
                            np.float32([65519.9, 65520, 1e38, -1e-42, 3e38])])
    got = good(run, "rounding", np.concatenate([x, x, x])).reshape(3, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(got[1], x.astype(np.float16).astype(np.float32))
        np.testing.assert_array_equal(got[2], x.astype(ml_dtypes.bfloat16).astype(np.float32))


# ---------------------------------------------------------------- failures


def line_of(name):
    for path in ROOT.glob("tests/emulator/*.cu"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if f"// -> {name}" in re.findall(r"// -> \w+", line):
                return f"tests/emulator/{path.name}:{number}"
    raise LookupError(name)


@pytest.mark.parametrize(("case", "message"), [
    ("deadlock", r"kernel deadlock_kernel: deadlock: of 64 running threads .*wait in __syncthreads at LINE .*block \(0, 0, 0\)"),
    ("divergence", r"kernel diverging_kernel: barrier divergence.*tests/emulator/failures.cu:\d+"),
    ("warp_divergence", r"warp divergence: this lane came to .* while others of its mask wait in"),
    ("outside_mask", r"the calling lane is not in its mask \(LINE, block \(0, 0, 0\), thread \((1[6-9]|2\d|3[01]), 0, 0\)\)"),
    ("past_end", r"kernel past_end_kernel: out-of-bounds write 0 bytes past the end of the array "
                 r"\(LINE, block \(4, 0, 0\), thread \(0, 0, 0\)\)"),
    ("before_start", r"kernel before_start_kernel: out-of-bounds read \d+ bytes before the start of the array \(LINE, "),
    ("null_pointer", r"kernel null_kernel: out-of-bounds write at address 0x\w+ \(LINE, "),
    ("misaligned", r"kernel misaligned_kernel: misaligned vector access.*\(tests/emulator/failures.cu:5\d, "),
    ("stack_overflow", r"kernel stack_kernel: stack overflow: .*64 KiB \(tests/emulator/failures.cu:\d+, block"),
    ("division", r"kernel division_kernel: integer division by zero \(LINE, "),
    ("no_blocks", r"kernel plain_kernel: launch refused: a grid of \(1, 0, 1\) blocks has no block"),
    ("no_threads", r"launch refused: a block of \(0, 1, 1\) threads has no thread"),
    ("many_threads", r"launch refused: a block of \(32, 33, 1\) = 1056 threads is beyond 1024"),
    ("deep_block", r"launch refused: a block of \(1, 1, 65\) threads is beyond \(1024, 1024, 64\)"),
    ("wide_block", r"launch refused: a block of \(65536, 65536, 1\) threads is beyond \(1024, 1024, 64\)"),
    ("long_grid", r"launch refused: a grid of \(2147483648, 1, 1\) blocks is beyond"),
    ("deep_grid", r"launch refused: a grid of \(1, 1, 65536\) blocks is beyond"),
    ("static_and_dynamic", r"static_kernel: launch refused: 1024 bytes of static and 231425 of dynamic shared memory are beyond 232448"),
    ("wide_grid", r"launch refused: a grid of \(1, 65536, 1\) blocks is beyond"),
    ("much_shared", r"launch refused: 232449 bytes of dynamic shared memory are beyond 232448 \(compute capability 9.0\)"),
    ("past_dynamic", r"kernel past_dynamic_kernel: out-of-bounds write at address 0x\w+ \(LINE, "),
    ("unaligned_ldmatrix", r"ldmatrix: a row's address must be a multiple of 16 bytes \(LINE, "),
    ("global_ldmatrix", r"ldmatrix: a row's address is not in shared memory \(LINE, "),
    ("copy_past_end", r"kernel copy_past_end_kernel: out-of-bounds read \d+ bytes past the end of the array \(LINE, block \(0, 0, 0\), "
                      r"thread \((1[6-9]|2\d|3[01]), 0, 0\)\)"),
])
def test_failures_name_kernel_line_block_and_thread(run, case, message):
    _, got = run(case)
    assert re.search(message.replace("LINE", re.escape(line_of(case))) if "LINE" in message else message, got), got
    np.testing.assert_array_equal(good(run, "good")[:64], np.arange(64))  # the process goes on


def test_unwritten_shared_memory_is_nan(run):
    for case in ("unwritten", "unwritten_dynamic") * 2:
        got = good(run, case)
        assert (got[:32] == 1).all()
        assert np.isnan(got[32:64]).all()


def test_a_weak_wait_shows_when_copies_are_late(library, run):
    assert np.isnan(good(run, "weak_wait", np.ones(256))[:32]).all()
    library.configure(0, True, 0)
    assert (good(run, "weak_wait", np.ones(256))[:32] == 2).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_failure_in_one_of_many_blocks_on_many_threads(library, threads):
    library.configure(0, False, threads)
    data = np.zeros(64 * 4096, np.float32)
    for _ in range(3):
        message = library.run(b"past_end", data.ctypes.data_as(ctypes.c_void_p), 100).decode()
        assert "block (1, 0, 0), thread (36, 0, 0)" in message
    library.configure(0, False, 0)


# ---------------------------------------------------------------- clusters and TMA stores


@pytest.fixture(params=[False, True], ids=["lazy", "eager"])
def eager(library, run, request):
    """Asynchronous work late, then at once."""
    if request.param:
        library.configure(1, True, 0)
    return request.param


def test_ranks(run):
    x, y, z = np.meshgrid(np.arange(4), np.arange(2), np.arange(2), indexing="ij")
    got = good(run, "cluster_ranks")[:16].reshape(2, 2, 4).T
    np.testing.assert_array_equal(got, x % 2 + 2 * (z % 2) + 40 + 0 * y)
    assert (good(run, "lone_ranks")[:16] == 10).all()


def test_loads_and_stores_in_the_shared_memory_of_other_blocks(run):
    got = good(run, "ring", n=12 * 64).reshape(12, 2, 32)
    block = np.arange(12)
    before = block // 4 * 4 + (block + 3) % 4
    np.testing.assert_array_equal(got[:, 0], before[:, None] * 100 + np.arange(32))
    np.testing.assert_array_equal(got[:, 1], before[:, None] * 100 + np.arange(32)[::-1])


def test_returned_threads_count_as_arrived_at_the_cluster_barrier(run):
    got = good(run, "leaving").reshape(4, 64)
    assert (got.reshape(4, 16, 4)[:, :, 2:] == 1).all()
    assert np.isnan(got.reshape(4, 16, 4)[:, :, :2]).all()


def test_arrivals_at_barriers_of_other_blocks(run):
    assert (good(run, "remote_arrive") == 5).all()


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_multicast(run, eager, blocks):
    got = good(run, f"multicast_{blocks}", n=4 * 2048).reshape(4, 32, 64)
    want = np.zeros((32, 64))
    want[:28, :32] = 100 * np.arange(28)[:, None] + np.arange(8, 40)
    for block in got:
        np.testing.assert_array_equal(block, want)


def test_tma_store(run, eager):
    got = good(run, "store_tiles", n=28 * 52).view(np.uint16).reshape(28, 104)
    np.testing.assert_array_equal(got, 100 * np.arange(28)[:, None] + np.arange(104))


def test_a_tile_overwritten_before_its_store_has_read_it_shows_when_stores_are_late(run, eager):
    got = good(run, "store_overwritten", n=28 * 52).view(np.uint16).reshape(28, 104)
    want = 100 * np.arange(28)[:, None] + np.arange(64) + (0 if eager else 64)
    np.testing.assert_array_equal(got[:, :64], want)


@pytest.mark.parametrize(("case", "message"), [
    ("cluster_deadlock", r"kernel stuck_kernel: deadlock: of 64 running threads of a cluster of 2 blocks 32 wait in an mbarrier wait "
                         r"at LINE \(first: block \(0, 0, 0\), .*32 wait in barrier.cluster at .* \(first: block \(1, 0, 0\), thread"),
    ("missing_copy", r"deadlock: of 128 running threads of a cluster of 2 blocks .* wait in an mbarrier wait"),
    ("rank_beyond", r"mapa: there is no block 2 in a cluster of 2 \(LINE, block \(1, 0, 0\), thread"),
    ("too_early", r"ld.shared::cluster: block [01] of the cluster has not begun: it needs a cluster barrier first \(LINE, block"),
    ("too_late", r"ld.shared::cluster: block [01] of the cluster has ended: its shared memory is gone \(LINE, block"),
    ("copy_under_way", r"TMA.*: (the block ended while this copy into its shared memory was under way"
                       r"|block 1 of the cluster has ended: its shared memory is gone) \(LINE, block \([01], 0, 0\)"),
    ("own_copy_under_way", r"TMA: the block ended while this copy into its shared memory was under way \(LINE, block \(0, 0, 0\)\)"),
    ("arrives_twice", r"barrier.cluster: this thread arrived before and has not waited since \(LINE, block .*, thread \(7, 0, 0\)"),
    ("waits_without_arrival", r"barrier.cluster: this thread waits and has not arrived \(LINE, "),
    ("one_fails", r"kernel one_fails_kernel: out-of-bounds write .*\(LINE, block \(5, 0, 0\), thread \(3, 0, 0\)\)"),
    ("too_many_blocks", r"TMA multicast: the mask names no block, or one outside the cluster \(LINE, block"),
    ("unexpected_copy", r"TMA: (the mbarrier's phase ended before this copy: it expected too few bytes|the mbarrier's phase expects fewer "
                        r"bytes than have come|the block ended while this copy into its shared memory was under way) "),
    ("store_without_wait", r"TMA store: the thread returns before the store has read shared memory: it needs a wait \(LINE, "),
    ("cluster_misaligned", r"ld.shared::cluster: misaligned address \(LINE, "),
    ("cluster_outside", r"ld.shared::cluster: the address is not in the block's shared memory \(LINE, "),
    ("broken_cluster", r"launch refused: a grid of \(5, 1, 1\) blocks is not made of whole clusters of \(2, 1, 1\)"),
    ("large_cluster", r"launch refused: a cluster of \(9, 1, 1\) = 9 blocks is beyond 8"),
    ("empty_cluster", r"launch refused: a cluster of \(1, 0, 1\) blocks has no block"),
])
def test_failures_name_the_place_and_abandon_the_whole_cluster(run, case, message):
    _, got = run(case, n=4 * 2048)
    assert re.search(message.replace("LINE", re.escape(line_of(case))) if "LINE" in message else message, got), got
    assert (good(run, "remote_arrive") == 5).all()  # the process goes on


@pytest.mark.parametrize(("chip", "case", "refusal"), [
    (75, "some_shared", "102400 bytes of dynamic shared memory are beyond 65536 (compute capability 7.5)"),
    (80, "some_shared", None), (86, "some_shared", "beyond 101376 (compute capability 8.6)"), (89, "some_shared", "beyond 101376"),
    (120, "some_shared", "beyond 101376"),
    (100, "good", None), (80, "good", "beyond 166912 (compute capability 8.0)"), (90, "static_and_dynamic_fit", None),
    (89, "remote_arrive", "clusters need compute capability 9.0 or newer"),
])
def test_a_chip_has_its_limits(run, library, chip, case, refusal):
    library.claim(chip)
    try:
        _, got = run(case, n=4 * 2048)
    finally:
        library.claim(90)
    assert (not got) if refusal is None else (refusal in got), got


def test_clusters_on_many_threads(library):
    for threads in (1, 2, 5):
        library.configure(3, False, threads)
        data = np.full(12 * 64, NAN)
        for _ in range(20):
            assert library.run(b"ring", data.ctypes.data_as(ctypes.c_void_p), data.size) == b""
            message = library.run(b"one_fails", data.ctypes.data_as(ctypes.c_void_p), data.size).decode()
            assert "block (5, 0, 0), thread (3, 0, 0)" in message
    library.configure(0, False, 0)


# ---------------------------------------------------------------- wgmma of tf32


@pytest.mark.parametrize(("way", "least", "most"), [("by_hand", 0, 0x1fff),  # cut off
                                                    ("by_tma", -0x1000, 0x1000)])  # rounded; these are eighths, of even mantissa
def test_wgmma_tf32(run, eager, way, least, most):
    rng = np.random.default_rng(4)
    eighths = (rng.integers(1, 32, (192, 32)) * rng.choice([-1, 1], (192, 32)) / 8).astype(np.float32)
    low_bits = rng.choice([least, most, *rng.integers(least, most, 62)], (192, 32)).astype(np.int32)
    operands = (eighths.view(np.int32) + low_bits).view(np.float32)
    got = good(run, f"wgmma_tf32_{way}", np.concatenate([np.full(64 * 128, NAN), operands.ravel()]))[:64 * 128].reshape(64, 128)
    np.testing.assert_array_equal(got, eighths[:64] @ eighths[64:].T)  # exact: no sum needs more than 15 bits


def test_wgmma_with_an_operand_in_registers(run, eager):
    rng = np.random.default_rng(5)
    a, stack = rng.integers(-9, 9, (64, 16)).astype(np.float32), rng.integers(-9, 9, (3, 2, 12, 48)).astype(ml_dtypes.bfloat16)
    data = np.concatenate([np.full(64 * 64, NAN), a.ravel(), stack.ravel().view(np.float32)])
    want = np.zeros((64, 64), np.float32)
    want[:, :48] = a[:, :12] @ stack[2, 1].astype(np.float32)
    np.testing.assert_array_equal(good(run, "wgmma_registers", data)[:64 * 64].reshape(64, 64), want)


def test_halves_are_rounded_to_even_tf32(run):
    bits, want = np.array([(0x3f800000, 0x3f800000), (0x3f800fff, 0x3f800000), (0x3f801000, 0x3f800000), (0x3f801001, 0x3f802000),
                           (0x3f803000, 0x3f804000), (0xbf801000, 0xbf800000), (0xbf803000, 0xbf804000), (0x00001001, 0x00002000),
                           (0x7f7fffff, 0x7f800000), (0x7f800000, 0x7f800000)], np.uint32).T
    np.testing.assert_array_equal(good(run, "round_to_tf32", bits.view(np.float32)).view(np.uint32), want)
    assert np.isnan(good(run, "round_to_tf32", np.array([NAN]))).all()


def test_a_map_that_rounds_is_refused_for_stores(run):
    _, got = run("store_by_a_rounding_map")
    assert f"TMA store: by a map that rounds what it loads ({line_of('store_by_a_rounding_map')}, " in got


# ---------------------------------------------------------------- TMA's im2col mode

PIXELS = 40


def column(run, images, c=0, base=(0, 0, 0), offset=(0, 0), first=(0, 0), last=None, step=(1, 1), channels=None):
    """What the copy brings; pairs are (h, w), base is (n, h, w), images (N, H, W, C) of bfloat16."""
    n, h, w, stored = images.shape
    last = (h - 1, w - 1) if last is None else last
    request = [c, base[2], base[1], base[0], offset[1], offset[0], w, stored, first[1], last[1], step[1], h, w * stored, first[0],
               last[0], step[0], channels or stored, n, h * w * stored]
    head = np.zeros(32, np.float32)
    head[:len(request)] = request
    data = np.concatenate([np.full(PIXELS * 64, NAN), head, images.ravel().view(np.float32)])
    got, message = run("column", data)
    return got[:PIXELS * 64].reshape(PIXELS, 64), message


def test_im2col_brings_a_pixel_of_each_patch(run, eager):
    rng = np.random.default_rng(3)
    for _ in range(40):
        n, h, w = (int(v) for v in rng.integers(1, 8, 3))
        stored, step = int(rng.integers(1, 11)) * 8, tuple(int(v) for v in rng.integers(1, 4, 2))
        images = rng.integers(1, 99, (n, h, w, stored)).astype(ml_dtypes.bfloat16)
        first, counts = tuple(int(v) for v in rng.integers(-3, 3, 2)), rng.integers(1, 9, 2)
        last = tuple(int(f + (k - 1) * s) for f, k, s in zip(first, counts, step, strict=True))
        offset, c = tuple(int(v) for v in rng.integers(0, 6, 2)), int(rng.integers(0, 3)) * 8
        channels = int(rng.integers(1, stored + 1))
        start = int(rng.integers(0, n * counts[0] * counts[1]))
        bases = [(i, first[0] + y * step[0], first[1] + x * step[1]) for i in range(n) for y in range(counts[0]) for x in range(counts[1])]
        want = np.zeros((PIXELS, 64), np.float32)
        for p, (i, y, x) in enumerate(bases[start:start + PIXELS]):
            y, x = y + offset[0], x + offset[1]
            if 0 <= y < h and 0 <= x < w and c < channels:
                seen = images[i, y, x, c:min(channels, c + 64)]
                want[p, :len(seen)] = seen
        got, message = column(run, images, c, bases[start], offset, first, last, step, channels)
        assert message == ""
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("options", "message"), [
    ({"base": (0, 4, 0)}, "TMA im2col: the first patch is outside the bounding box (LINE, block (0, 0, 0), thread (0, 0, 0))"),
    ({"base": (0, 0, -1)}, "TMA im2col: the first patch is outside the bounding box (LINE"),
    ({"offset": (256, 0)}, "TMA im2col: an offset is above 255 (LINE"),
    ({"step": (1, 9)}, "TMA: the driver refuses an im2col map: a step is not from 1 to 8"),
    ({"first": (-129, 0), "base": (0, -129, 0)}, "TMA: the driver refuses an im2col map: a corner is not within -128 and 127"),
    ({"last": (131, 3)}, "TMA: the driver refuses an im2col map: a corner is not within -128 and 127"),
    ({"last": (-1, 3)}, "TMA: the driver refuses an im2col map: the bounding box is empty"),
])
def test_im2col_has_its_limits(run, options, message):
    _, got = column(run, np.ones((1, 4, 4, 8), ml_dtypes.bfloat16), **options)
    assert message.replace("LINE", line_of("column")) in got


def test_im2col_takes_no_map_of_a_matrix(run):
    _, got = run("map_of_a_matrix")
    assert f"TMA: not a tensor map, or not of this kind of copy ({line_of('map_of_a_matrix')}, " in got
