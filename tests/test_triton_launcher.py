"""The launcher end to end, on the stub of the CUDA driver: what a launch passes, what it refuses, and how what goes wrong is said."""
from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
import sys
import threading
from types import SimpleNamespace

import driver_stub
import numpy as np
import pytest
from triton_calls import Quick, aligned, cost

from tensorgrad import triton

if triton.absent() or triton.INTERPRETED:
    pytest.skip(triton.absent() or "needs a process without TRITON_INTERPRET", allow_module_level=True)

import triton.language as tl

from tensorgrad import _launcher
from tensorgrad.cuda.driver import chips
from tensorgrad.triton import tuned
from tensorgrad.triton.runtime import RUNGS, cache, compiler, descriptor, forget_plans, kernel, layout, tuning


@kernel
def scale(Y, X, n, factor, flag, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(X + i, mask=i < n)
    if flag:
        x = x * factor
    tl.store(Y + i, x, mask=i < n)


@kernel
def offset(Y, X, n, big, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(Y + i + big, tl.load(X + i, mask=i < n), mask=i < n)


@kernel
def shared_product(Y, A, B, K, BLOCK: tl.constexpr):
    i, k = tl.arange(0, BLOCK), tl.arange(0, 64)
    total = tl.zeros([BLOCK, BLOCK], tl.float32)
    for start in range(0, K, 64):
        a = tl.load(A + i[:, None] * K + start + k[None, :])
        b = tl.load(B + (start + k)[:, None] * BLOCK + i[None, :])
        total = tl.dot(a, b, total)
    tl.store(Y + i[:, None] * BLOCK + i[None, :], total)


@kernel
def copy_block(Y, x_map, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    at = tl.program_id(0) * ROWS
    block = x_map.load([at, 0])
    tl.store(Y + (at + tl.arange(0, ROWS))[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :], block)


@kernel
def copy_on_device(Y, X, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    x_map = tl.make_tensor_descriptor(X, [n, COLUMNS], [COLUMNS, 1], [ROWS, COLUMNS])
    y_map = tl.make_tensor_descriptor(Y, [n, COLUMNS], [COLUMNS, 1], [ROWS, COLUMNS])
    y_map.store([tl.program_id(0) * ROWS, 0], x_map.load([tl.program_id(0) * ROWS, 0]))


@pytest.fixture(autouse=True)
def driver(stub_library, tmp_path, monkeypatch):
    """The stub, its lines read from the test's beginning on; a cache of the test's own, kernels with nothing compiled."""
    stub = driver_stub.Driver(stub_library)
    stub.set(devices=2, chip=90, chip_of_others=80, version=13000, memory=1 << 30)
    stub.on(0)
    monkeypatch.setenv("TG_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_warned", set())
    stub.clear()
    yield stub
    stub.clear()
    _launcher.set_stream(0)


def stream_of(driver):
    made = ctypes.c_void_p()
    assert driver.lib.cuStreamCreate(ctypes.byref(made), 1) == 0
    return made.value


def packed(kinds, *values):
    """Parameters as bytes, each of a kind that `struct` knows."""
    return tuple(struct.pack(k, v) for k, v in zip(kinds, values, strict=True))


def address(a):
    return a.__array_interface__["data"][0]


def test_parameters_are_passed_as_the_machine_code_wants_them(driver):
    x, y = aligned((1000,), np.float32), aligned((1000,), np.float32)
    scale[(4,)](y, x, 1000, 2.5, True, BLOCK=256, num_warps=8)
    (launch,) = driver.launches
    assert (launch.function, launch.grid, launch.block, launch.shared, launch.stream) == ("scale", (4, 1, 1), (256, 1, 1), 0, 0)
    assert launch.params == packed("QQif?QQ", address(y), address(x), 1000, 2.5, True, 0, 0)


def test_large_numbers_ones_and_none(driver):
    x, y = aligned((64,), np.float16), aligned((64,), np.float16)
    offset[1, 1, 1](y, x, 1, 1 << 40, BLOCK=64)  # n is 1: compiled in
    assert driver.launches[-1].params == packed("QQqQQ", address(y), address(x), 1 << 40, 0, 0)
    offset[2, 3, 4](y, x, 5, -7, BLOCK=64)
    assert driver.launches[-1].grid == (2, 3, 4)
    assert driver.launches[-1].params == packed("QQiiQQ", address(y), address(x), 5, -7, 0, 0)


def test_each_kind_of_call_is_compiled_once(driver):
    def loads():
        return sum(c == "cuModuleLoadData" for c in driver.calls)

    x, y = aligned((256,), np.float32), aligned((256,), np.float32)
    calls = [(y, x, 256, 2), (y, x, 272, 2), (y, x, 255, 2), (y, x, 1, 2), (y, aligned((8,), np.float32, offset=1), 256, 2),
             (aligned((8,), np.float16), x, 256, 2)]
    seen = []
    for call in [*calls, *calls]:
        offset[1](*call, BLOCK=32)
        seen.append(loads())
    # 272 divides by 16 as 256 does; the others differ in that, in being 1, in their alignment and dtype.
    assert seen == [1, 1, 2, 3, 4, 5] + [5] * 6
    offset[1](*calls[0], BLOCK=16)
    offset[1](*calls[0], BLOCK=32, num_warps=1)
    assert loads() == 7


def test_of_an_int64_of_numpy_nothing_is_compiled_in(driver):
    x, y = aligned((64,), np.float16), aligned((64,), np.float16)
    for number in (1, 16, 7, -1, 1 << 40, -(1 << 63)):
        offset[1](y, x, 5, np.int64(number), BLOCK=64)
        assert driver.launches[-1].params == packed("QQiqQQ", address(y), address(x), 5, number, 0, 0)
    assert sum(c == "cuModuleLoadData" for c in driver.calls) == 1


def test_shared_memory_beyond_48_kb_is_asked_for(driver):
    a, b, y = aligned((128, 256), np.float16), aligned((256, 128), np.float16), aligned((128, 128), np.float32)
    shared_product[1](y, a, b, 256, BLOCK=128, num_stages=4, num_warps=4)
    (launch,) = driver.launches
    assert launch.shared > 48 * 1024
    assert f"cuFuncSetAttribute function=shared_product 8 {launch.shared}" in driver.calls
    driver.on(1)  # a chip with less of it
    refused = r"shared_product: cuFuncSetAttribute failed with CUDA_ERROR_INVALID_VALUE .*: the kernel needs \d+ bytes"
    with pytest.raises(RuntimeError, match=refused):
        shared_product[1](y, a, b, 256, BLOCK=128, num_stages=9, num_warps=4)


def test_tensor_descriptors_are_passed_by_value(driver):
    x, y = aligned((64, 32), np.float16), aligned((64, 32), np.float16)
    copy_block[4](y, descriptor(x, 16, 32), ROWS=16, COLUMNS=32)
    (launch,) = driver.launches
    (made,) = [c for c in driver.calls if c.startswith("cuTensorMapEncodeTiled")]
    assert "type=6 rank=2 shape=32,64 strides=64 box=32,16" in made  # innermost first; the stride in bytes
    to, tensor_map, *others = launch.params
    assert [to, *others] == list(packed("QiiqqQQ", address(y), 64, 32, 32, 1, 0, 0))
    assert len(tensor_map) == 128
    assert tensor_map[:24] == struct.pack("QQQ", address(x), 32, 64)


def test_descriptors_say_what_is_wrong_with_an_array():
    with pytest.raises(ValueError, match="strides must be multiples of 16 bytes; dim 0 has 6"):
        descriptor(aligned((4, 3), np.float16), 4, 16)
    with pytest.raises(ValueError, match="a size for each dimension"):
        descriptor(aligned((4, 8), np.float16), 16)
    with pytest.raises(ValueError, match="start at a multiple of 16 bytes"):
        descriptor(aligned((4, 8), np.float16, offset=3), 4, 8)
    with pytest.raises(ValueError, match="last dimension must be contiguous"):
        descriptor(aligned((8, 8), np.float16).T, 8, 8)


def test_a_layout_serves_many_arrays(driver):
    x, y = aligned((64, 32), np.float16), aligned((64, 32), np.float16)
    by_rows = layout((64, 32), (64, 2), 2, (16, 32))
    for a in (x, y):
        copy_block[4](y, by_rows(a), ROWS=16, COLUMNS=32)
    assert [launch.params[1][:8] for launch in driver.launches] == [struct.pack("Q", address(a)) for a in (x, y)]
    with pytest.raises(ValueError, match="elements of 2 bytes was given an array with elements of 4"):
        by_rows(aligned((64, 32), np.float32))


def test_a_bound_launch_is_the_same_launch(driver):
    x, y = aligned((1000,), np.float32), aligned((1000,), np.float32)
    scale[4](y, x, 1000, 2.5, True, BLOCK=256)
    bound = scale[4].bind(1000, 2.5, True, BLOCK=256)
    bound(y, x)
    bound(x, y)
    plain, first, second = driver.launches
    assert first == plain
    assert second.params[:2] == (plain.params[1], plain.params[0])
    assert second.params[2:] == plain.params[2:]
    assert sum(c == "cuModuleLoadData" for c in driver.calls) == 1
    scale[0].bind(0, 2.5, True, BLOCK=256)(y, x)
    assert len(driver.launches) == 3
    with pytest.raises(ValueError, match="scale: bind takes numbers and None; arrays are given to each call"):
        scale[4].bind(x, 1000, 2.5, True, BLOCK=256)
    with pytest.raises(ValueError, match="scale: the constants of this launch are bound already"):
        bound(y, x, BLOCK=128)
    with pytest.raises(ValueError, match="scale: this launch is bound already"):
        bound.bind(3)
    with pytest.raises(ValueError, match="scale: too many arguments"):
        bound(*[y] * 62)


def test_memory_to_work_in_comes_from_the_device(driver):
    x, y = aligned((64, 32), np.float16), aligned((64, 32), np.float16)
    asked = []

    def allocate(n):
        asked.append(n)
        return SimpleNamespace(ptr=1000)

    _launcher.set_allocator(allocate)
    copy_on_device[4](y, x, 64, ROWS=16, COLUMNS=32)
    (launch,) = driver.launches
    scratch, profile = (struct.unpack("Q", p)[0] for p in launch.params[-2:])
    assert len(asked) == 1
    assert asked[0] >= 4 * 128  # programs
    assert scratch >= 1000
    assert scratch % 128 == 0
    assert profile == 0


def test_an_empty_grid_is_nothing_to_do(driver):
    x = aligned((8,), np.float32)
    before = len(driver.launches)
    for grid in ((0,), (4, 0), (1, 1, 0)):
        scale[grid](x, x, 0, 1.0, True, BLOCK=8)
    assert len(driver.launches) == before


def test_grids_that_cannot_be():
    with pytest.raises(ValueError, match="scale: dim 1 of the grid is 65536, which is not from 0 to 65535"):
        scale[1, 65536]
    with pytest.raises(ValueError, match="scale: a grid has 1 to 3 sizes, not 4"):
        scale[1, 1, 1, 1]


def test_wrong_arguments_are_named(driver):
    x = aligned((8,), np.float32)
    with pytest.raises(ValueError, match="scale: Triton kernels take arrays in the GPU's memory"):
        scale[1](np.zeros(8, np.float32), x, 8, 1.0, True, BLOCK=8)
    with pytest.raises(ValueError, match="scale: kernels take arrays, numbers and None, not str"):
        scale[1]("y", x, 8, 1.0, True, BLOCK=8)
    with pytest.raises(TypeError, match=r"scale takes 6 arguments and constants \(Y, X, n, factor, flag, BLOCK\), but 4 and 1 were given"):
        scale[1](x, x, 8, 1.0, BLOCK=8)
    with pytest.raises(TypeError, match="scale: there is no constant or option 'warps'; options are num_warps, num_stages, maxnreg"):
        scale[1](x, x, 8, 1.0, True, BLOCK=8, warps=4)
    with pytest.raises(ValueError, match="scale: the constant BLOCK must be None, a bool, an int, a float or a str, not list"):
        scale[1](x, x, 8, 1.0, True, BLOCK=[8])


@pytest.mark.parametrize(("call", "error", "said"), [
    ("cuModuleLoadData", 200, "CUDA_ERROR_INVALID_IMAGE (device kernel image is invalid)"),
    ("cuModuleGetFunction", 500, "CUDA_ERROR_NOT_FOUND"),
    ("cuLaunchKernel", 701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (too many resources requested for launch); grid (7, 1, 1), 128 threads"),
    ("cuLaunchKernel", 12345, "error 12345")])
def test_what_the_driver_returns_is_said(driver, call, error, said):
    x = aligned((8,), np.float64)
    block = {"cuModuleLoadData": 32, "cuModuleGetFunction": 64, "cuLaunchKernel": 128}[call]
    driver.fail(call, error)
    with pytest.raises(RuntimeError, match=re.escape(f"offset: {call} failed with {said}")):
        offset[7](x, x, 8, 2, BLOCK=block)
    offset[7](x, x, 8, 2, BLOCK=block)  # and the next call goes on


def test_threads_streams_and_devices(driver):
    x = aligned((64,), np.int32)
    offset[1](x, x, 64, 2, BLOCK=64)
    streams = [stream_of(driver) for _ in range(3)]
    _launcher.set_stream(streams[0])
    failed = []

    def elsewhere(stream):
        try:
            _launcher.set_stream(stream)
            for _ in range(200):
                offset[3](x, x, 64, stream & 0xFFFF, BLOCK=64)
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=elsewhere, args=(s,)) for s in streams[1:]]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert failed == []
    offset[1](x, x, 64, 2, BLOCK=64)
    launches = driver.launches
    assert launches[-1].stream == streams[0]
    for stream in streams[1:]:  # each thread's own stream, and its own parameters
        mine = [launch for launch in launches if launch.stream == stream]
        assert len(mine) == 200
        assert {struct.unpack("i", launch.params[3])[0] for launch in mine} == {stream & 0xFFFF}
    before = sum(c == "cuModuleLoadData" for c in driver.calls)
    driver.on(1)  # another chip: other machine code
    offset[1](x, x, 64, 2, BLOCK=64)
    assert sum(c == "cuModuleLoadData" for c in driver.calls) == before + 1


def test_an_unknown_chip_is_refused_before_the_compiler_meets_it():
    with pytest.raises(Exception, match=r"scale: Triton [\d.]+ does not know chips of compute capability 19.0; a newer Triton may"):
        compiler.check_chip("scale", 190)
    compiler.check_chip("scale", 90)


def test_what_spills_or_does_not_fit_is_no_candidate(driver):
    driver.on(1)
    a, b, y = aligned((128, 256), np.float16), aligned((256, 128), np.float16), aligned((128, 128), np.float32)
    with tuning.spills_refused():
        for _ in range(2):
            with pytest.raises(tuning.Unfit, match=r"^spills \d+ bytes$"):
                shared_product[1](y, a, b, 256, BLOCK=128, num_warps=4, num_stages=2, maxnreg=64)
        assert not any(c.startswith("cuModuleLoadData") for c in driver.calls)
        shared_product[1](y, a, b, 256, BLOCK=128, num_warps=8, num_stages=2)
        with pytest.raises(RuntimeError, match=tuning.UNFIT):
            shared_product[1](y, a, b, 256, BLOCK=128, num_warps=8, num_stages=9)
    assert len(driver.launches) == 1


def test_rungs_are_launched_as_they_were_tuned(driver):
    """Where all GPUs are of one kind: what is worked out for a shape serves them all."""
    list(triton.load_kernels())
    run = next(r[5] for r in RUNGS if r[:2] == ("matmul", "triton/v08_tensor_core"))
    tuned.write(tuned.kept("sm_90x132"), "sm_90x132", {"matmul v08_tensor_core float16 512x512x64": [
        {"configuration": {"BM": 64, "BN": 64, "BK": 32, "num_warps": 4, "num_stages": 2}, "seconds": 1e-4}]})
    arrays = [aligned(shape, np.float16) for shape in ((512, 512), (512, 64), (64, 512))]
    assert chips() == [(90, 132), (80, 108)]
    try:
        for devices, chip, grid, threads in ((2, None, 16, 256), (1, "sm_90x132", 64, 128)):
            driver.set(devices=devices)
            for known in (tuned.chip, tuned.tables):
                known.cache_clear()
            forget_plans()
            assert tuned.chip() == chip
            run(*arrays)
            assert (driver.launches[-1].grid, driver.launches[-1].block) == ((grid, 1, 1), (threads, 1, 1))
    finally:
        for known in (tuned.chip, tuned.tables):
            known.cache_clear()
        forget_plans()


def test_parameters_are_counted():
    ptx = ".visible .entry f(\n .param .u64 a,\n .param .align 64 .b8 b[128]\n)\n.reqntid 128 { .param .b32 x; }"
    assert compiler.parameters_in(ptx) == 2


def in_a_process(code, **environment):
    """A program that launches `scale` of this file on the stub."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


PROGRAM = """
import numpy as np, driver_stub, sys
from pathlib import Path
driver_stub.Driver(Path({library!r})).on(0)
from tensorgrad.triton.runtime.compiler import Compiler
compiled, compile = [], Compiler.compile
Compiler.compile = lambda *a: compiled.append(1) or compile(*a)
from test_triton_launcher import scale
from triton_calls import aligned
x = aligned((64,), np.float32)
for block in (16, 32, 64):
    scale[1](x, x, 64, 2.0, True, BLOCK=block)
print(len(compiled))
"""


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


def test_machine_code_is_kept_healed_and_shared(stub_library, tmp_path):
    program = PROGRAM.format(library=str(stub_library))
    both = [in_a_process(program, TG_CACHE=str(tmp_path)) for _ in range(2)]  # two processes fill one cache at once
    assert {finish(p)[0] for p in both} <= {"1\n", "2\n", "3\n"}
    kept = sorted((tmp_path / "triton").iterdir())
    assert len(kept) == 3  # and nothing half written
    content = kept[0].read_bytes()
    kept[0].write_bytes(content[:-100] + bytes(100))
    kept[1].write_bytes(b"")
    assert finish(in_a_process(program, TG_CACHE=str(tmp_path)))[0] == "2\n"  # the damaged ones, anew
    assert kept[0].read_bytes() == content
    assert finish(in_a_process(program, TG_CACHE=str(tmp_path)))[0] == "0\n"


def test_a_cache_that_cannot_be_written_is_said_once(stub_library, tmp_path):
    place = tmp_path / "file"
    place.write_text("no folder")
    out, err = finish(in_a_process(PROGRAM.format(library=str(stub_library)), TG_CACHE=str(place)))
    assert out == "3\n"
    assert err.count("Triton's kernels cannot be kept in") == 1
    assert "TG_CACHE names another folder" in err


def test_what_a_launch_costs(driver, capsys):
    """Of a bare one; test_triton_compiled.py asks it of every rung. On a busy machine this is no figure to hold to."""
    x, y = (Quick(aligned((1024,), np.float32)) for _ in range(2))
    scale[(4,)](y, x, 1024, 2.5, True, BLOCK=256)
    bound = scale[(4,)].bind(1024, 2.5, True, BLOCK=256)
    driver.set(quiet=1)
    plain = cost(lambda: scale[(4,)](y, x, 1024, 2.5, True, BLOCK=256))
    bare = cost(lambda: bound(y, x))
    driver.set(quiet=0)
    with capsys.disabled():
        print(f"a launch: {1e6 * plain:.2f} us, a bound one: {1e6 * bare:.2f} us")
    assert max(plain, bare) < 4e-6
