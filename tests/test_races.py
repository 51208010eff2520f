"""The lab's recorder: races are found whatever order the threads run in, correct kernels are left alone, and traffic is what the
formula says. The kernels are in tests/lab; each race has a corrected twin.
"""
from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path

import building
import ml_dtypes
import numpy as np
import pytest

from tensorgrad import dispatch

HERE = Path(__file__).parent / "lab"
SEEDS = (0, 1, 2)
INSTRUMENTED = [*building.RECORDED, "-O2", "--param=tsan-distinguish-volatile=1", "-fno-tree-vectorize"]  # as `_lab` has its kernels
pytestmark = building.needs_gcc


def marked():
    """{pair: its lines} from the comments `// RACE pair`."""
    lines = {}
    for source in HERE.glob("*.cu"):
        for number, text in enumerate(source.read_text().splitlines(), 1):
            for name in re.findall(r"// RACE (\w+)", text):
                lines.setdefault(name, set()).add((f"tests/lab/{source.name}", number))
    return lines


PAIRS = marked()
# What each race is called; which side comes first depends on the order of threads.
EITHER_ORDER = {"read-write", "write-read"}
KINDS = {
    "shared_increment": EITHER_ORDER | {"write-write"}, "global_increment": EITHER_ORDER | {"write-write"},
    "write_after_write": {"write-write"}, "blocks_overlap": {"cross-block"}, "bytes": {"write-write"},
    "atomic_and_plain": {"atomic-plain"}, "barrier_not_visible": {"atomic-plain"}, "uninitialised": {"uninitialised"},
    "last_block_adds": {"cross-block"}, "last_block_half_fenced": {"cross-block"}, "sums_not_waited_for": {"accumulator"},
    "operand_not_left_alone": {"accumulator"},
    "products_of_ordinary_writes": {"missing fence.proxy.async"},
}


@pytest.fixture(scope="session")
def record(tmp_path_factory):
    """Runs a case under the recorder: its launches, and the array it leaves."""
    base = building.folder_of_all_workers(tmp_path_factory)
    folder, made = base / "lab", base / "lab" / "library.so"
    with building.one_at_a_time(folder):
        if not made.exists():
            kernels = building.compiled(folder, sorted(HERE.glob("*.cu")), INSTRUMENTED)
            building.link(made, [*kernels, *building.compiled(folder, [HERE / "record.cpp"]), *building.emulator(base)])
    lib = ctypes.CDLL(str(made))
    lib.record.restype = ctypes.c_char_p

    def run(name, seed=0, eager=False, n=8192):
        data = np.zeros(n, np.float32)
        text = lib.record(name.encode(), data.ctypes.data_as(ctypes.c_void_p), n, seed, eager).decode()
        assert text.startswith("{"), text
        return json.loads(text)["launches"], data

    return run


def lines_of(race):
    return {(side["file"], side["line"]) for side in (race["first"], race["second"]) if side}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pair", sorted(PAIRS))
def test_races_are_found_at_their_lines(record, pair, seed):
    for eager in (False, True):
        (launch,), _ = record(f"{pair}_racy", seed, eager)
        assert launch["races"], "no race was found"
        for race in launch["races"]:
            assert lines_of(race) <= PAIRS[pair], race
            assert race["kind"] in KINDS.get(pair, EITHER_ORDER) | {"uninitialised"}, race
            assert race["count"] > 0
        found = [race for race in launch["races"] if race["kind"] in KINDS.get(pair, EITHER_ORDER)]
        assert set().union(*map(lines_of, found)) == PAIRS[pair]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pair", sorted(PAIRS))
def test_the_corrected_twin_is_clean(record, pair, seed):
    for eager in (False, True):
        (launch,), _ = record(f"{pair}_clean", seed, eager)
        assert launch["races"] == []
        assert not launch["failed"]


def test_a_race_names_both_sides(record):
    (launch,), _ = record("read_after_write_racy")
    write, read = sorted(PAIRS["read_after_write"])
    races = {race["kind"]: race for race in launch["races"]}  # threads run in ascending order
    early, late, unwritten = races["read-write"], races["write-read"], races["uninitialised"]
    assert (unwritten["first"], unwritten["second"]["thread"], unwritten["where"]) == (None, [0, 0, 0], "values + 252 bytes")
    assert (late["first"]["line"], late["second"]["line"]) == (write[1], read[1])
    common = {"file": read[0], "agent": "thread", "block": [0, 0, 0]}
    assert early["first"] == common | {"line": read[1], "access": "load", "thread": [31, 0, 0]}
    assert early["second"] == common | {"line": write[1], "access": "store", "thread": [32, 0, 0]}
    assert (early["where"], early["space"], early["count"]) == ("values + 128 bytes", "shared", 32)


def test_agents_are_named(record):
    agents = {"copy_without_wait": "cp.async", "tile_not_waited_for": "tma", "tile_over_products": "wgmma",
              "matrix_of_another_lane": "ldmatrix"}
    for pair, agent in agents.items():
        (launch,), _ = record(f"{pair}_racy")
        assert agent in {side["agent"] for race in launch["races"] for side in (race["first"], race["second"]) if side}, pair
    (launch,), _ = record("global_increment_racy")
    assert launch["races"][0]["where"] in ("the array + 0 bytes", "the array + 4 bytes")


# ---------------------------------------------------------------- counts


def rows(launch, space, access, via="thread"):
    return [line for line in launch["lines"] if (line["space"], line["access"], line["via"]) == (space, access, via)]


@pytest.mark.parametrize(("case", "sectors", "ideal", "requests", "width"), [
    ("copy_coalesced", 4, 4, 4, 4), ("copy_stride_2", 8, 4, 4, 4), ("copy_stride_8", 32, 4, 4, 4), ("copy_shifted", 5, 4, 4, 4),
    ("copy_broadcast", 1, 1, 4, 4), ("copy_float4", 16, 16, 4, 16), ("copy_odd_lanes", 4, 2, 4, 4)])
def test_sectors_of_a_warp_request(record, case, sectors, ideal, requests, width):
    for seed in SEEDS:
        (launch,), _ = record(case, seed)
        (load,) = rows(launch, "global", "load")
        (store,) = rows(launch, "global", "store")
        lanes = 64 if case == "copy_odd_lanes" else 128
        assert load["requests"] == store["requests"] == requests
        assert (load["sectors"], load["ideal_sectors"]) == (sectors * requests, ideal * requests)
        assert load["bytes"] == store["bytes"] == lanes * width
        assert (load["lanes"], load["bytes_per_lane"]) == (lanes, width)
        assert store["sectors"] == (4 if case == "copy_odd_lanes" else width) * requests


@pytest.mark.parametrize(("case", "wavefronts"), [("transpose_plain", 32), ("transpose_padded", 1)])
def test_bank_conflicts_of_a_transpose(record, case, wavefronts):
    for seed in SEEDS:
        (launch,), data = record(case, seed)
        (load,) = rows(launch, "shared", "load")
        assert (load["requests"], load["wavefronts"], load["ideal_wavefronts"]) == (32, 32 * wavefronts, 32)
        (store,) = rows(launch, "shared", "store")
        assert (store["requests"], store["wavefronts"]) == (32, 32)
        np.testing.assert_array_equal(data[2048:3072].reshape(32, 32), data[:1024].reshape(32, 32).T)
        assert launch["static_shared"] == 32 * (32 + (case == "transpose_padded")) * 4


@pytest.mark.parametrize(("case", "wavefronts", "ideal"), [
    ("shared_words", 1, 1), ("shared_words_stride_2", 2, 1), ("shared_words_broadcast", 1, 1), ("shared_doubles", 2, 2),
    ("shared_doubles_stride_2", 4, 2), ("shared_quads", 4, 4), ("shared_halves", 1, 1)])
def test_wavefronts_of_wide_accesses(record, case, wavefronts, ideal):
    (launch,), _ = record(case)
    (load,) = rows(launch, "shared", "load")
    assert (load["requests"], load["wavefronts"], load["ideal_wavefronts"]) == (1, wavefronts, ideal)


@pytest.mark.parametrize(("case", "wavefronts"), [("matrices_packed", 32), ("matrices_padded", 4)])
def test_ldmatrix_reads_eight_rows_a_phase(record, case, wavefronts):
    (launch,), _ = record(case)  # rows of 128 bytes fall into the same banks, rows of 48 bytes do not
    (load,) = rows(launch, "shared", "load", "ldmatrix")
    assert (load["requests"], load["wavefronts"], load["ideal_wavefronts"], load["bytes"]) == (1, wavefronts, 4, 512)


def test_atomics_are_counted_with_their_conflicts(record):
    (launch,), data = record("histogram", 1)
    (shared,) = rows(launch, "shared", "atomic")
    assert (shared["requests"], shared["conflicts"]) == (4, 4 * 24)
    (everybody,) = rows(launch, "global", "atomic")
    assert (everybody["requests"], everybody["conflicts"], everybody["sectors"]) == (4, 4 * 31, 4)
    assert data[0] == 128


def test_instructions_are_counted_by_warp(record):
    for seed in SEEDS:
        (launch,), _ = record("everything", seed)
        counts = {}
        for row in launch["instructions"]:
            counts[row["kind"]] = counts.get(row["kind"], 0) + row["count"]
        assert counts == {"shuffle": 6, "vote": 6, "shared store": 6, "syncwarp": 6, "shared load": 6 + 3, "fence": 6, "barrier": 6,
                          "global store": 6}
        assert (launch["grid"], launch["block"], launch["blocks"], launch["warps"]) == ([3, 1, 1], [64, 1, 1], 3, 6)
        assert launch["kernel"] == "everything"
        few = [row for row in launch["instructions"] if row["kind"] == "shared load" and row["count"] == 3]
        assert few[0]["lanes"] == 3 * 8


# ---------------------------------------------------------------- the ladder

ext = pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
KERNELS = [(row[1], dtype, dispatch._ops["matmul"].bind(row[1], row[5], np)) for row in ext.kernels() if row[0] == "matmul"
           for dtype in row[2].split()]
SHAPES = [(33, 65, 17, "NN"), (130, 127, 35, "TN"), (64, 136, 300, "NT"), (5, 9, 130, "TT"), (129, 8, 64, "NN")]  # (M, N, K, layout)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("path", "dtype", "call"), KERNELS, ids=lambda p: p if isinstance(p, str) else "")
def test_every_rung_is_free_of_races(path, dtype, call, seed):
    before = ext.settings()
    rng = np.random.default_rng(seed)
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    try:
        ext.configure(seed, bool(seed % 2), *before[2:])
        ext.start(False, True)
        for m, n, k, layout in SHAPES:
            a, b = rng.standard_normal((m, k)).astype(kind), rng.standard_normal((k, n)).astype(kind)
            a, b = (np.asfortranarray(x) if way == "T" else x for x, way in zip((a, b), layout, strict=True))
            c = np.full((m, n), np.nan, kind)
            call(c, a, b)
            assert not np.isnan(c.astype(np.float32)).any()
    finally:
        launches = ext.stop()["launches"]
        ext.configure(*before)
    assert len(launches) >= len(SHAPES)
    assert [race for launch in launches for race in launch["races"]] == []


def test_traffic_of_the_naive_product():
    """Lanes go down a column of C: each step a request reads 16 rows of A (a sector each) and 2 neighbours of B (one sector)."""
    call = next(call for path, _, call in KERNELS if path == "cuda/v00_naive")
    m, n, k = 32, 48, 24
    ext.start(True, False)
    call(np.empty((m, n), np.float32), np.ones((m, k), np.float32), np.ones((k, n), np.float32))
    (launch,) = ext.stop()["launches"]
    warps = m * n // 32
    loads = [line for line in launch["lines"] if line["access"] == "load"]
    assert sum(line["requests"] for line in loads) == 2 * k * warps
    assert sum(line["sectors"] for line in loads) == (16 + 1) * k * warps
    assert sum(line["bytes"] for line in loads) == 2 * 4 * m * n * k
    (store,) = rows(launch, "global", "store")
    assert (store["requests"], store["bytes"]) == (warps, 4 * m * n)
