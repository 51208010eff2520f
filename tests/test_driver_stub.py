"""The stub of the CUDA driver that launch code is tested with: it refuses what the driver refuses, and writes down the rest."""
from __future__ import annotations

import ctypes
import shutil
import sys
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p

import driver_stub
import pytest

pytestmark = [pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler")]

INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE, INVALID_IMAGE, INVALID_CONTEXT, NOT_FOUND = 1, 2, 100, 200, 201, 500


@pytest.fixture
def driver(stub_library):
    stub = driver_stub.Driver(stub_library)
    stub.clear()
    stub.set(devices=1, chip=90, version=13000, memory=1 << 30)
    assert stub.lib.cuInit(0) == 0
    stub.on(0)
    return stub


def allocated(driver, n):
    at = c_void_p()
    assert driver.lib.cuMemAlloc_v2(byref(at), c_size_t(n)) == 0
    return at


def test_memory_is_real_and_ends_somewhere(driver):
    before = driver.used
    at, back = allocated(driver, 5), ctypes.create_string_buffer(5)
    assert driver.lib.cuMemcpyHtoD_v2(at, c_char_p(b"hello"), c_size_t(5)) == 0
    assert driver.lib.cuMemcpyDtoH_v2(back, at, c_size_t(5)) == 0
    assert back.raw == b"hello"
    assert driver.used == before + 5
    driver.set(memory=before + 8)
    assert driver.lib.cuMemAlloc_v2(byref(c_void_p()), c_size_t(4)) == OUT_OF_MEMORY
    assert driver.lib.cuMemFree_v2(at) == 0
    assert driver.used == before


def test_calls_are_written_down_and_fail_when_told(driver):
    driver.fail("cuMemAlloc_v2", OUT_OF_MEMORY, nth=2)
    at = allocated(driver, 7)
    assert driver.lib.cuMemAlloc_v2(byref(c_void_p()), c_size_t(9)) == OUT_OF_MEMORY
    assert driver.lib.cuMemFree_v2(at) == 0
    assert driver.calls[-3:] == ["cuMemAlloc 7", "cuMemAlloc 9", "cuMemFree"]


def test_what_the_driver_refuses(driver):
    function, image = c_void_p(), c_char_p(b"no ELF file")
    assert driver.lib.cuModuleLoadData(byref(function), image) == INVALID_IMAGE
    assert driver.lib.cuCtxSetCurrent(None) == 0
    assert driver.lib.cuMemAlloc_v2(byref(c_void_p()), c_size_t(4)) == INVALID_CONTEXT
    driver.set(devices=0)
    assert driver.lib.cuInit(0) == NO_DEVICE


def test_capture_keeps_launches_for_replay(driver):
    stream, graph = c_void_p(), c_void_p()
    assert driver.lib.cuStreamCreate(byref(stream), 1) == 0
    assert driver.lib.cuStreamBeginCapture_v2(stream, 0) == 0
    assert driver.lib.cuStreamSynchronize(stream) != 0  # it is capturing
    assert driver.lib.cuStreamEndCapture(stream, byref(graph)) == 0
    assert driver.lib.cuGraphLaunch(graph, stream) == 0
    assert "nodes=0" in driver.calls[-1]


def test_functions_are_found_by_name(driver):
    at, status = c_void_p(), c_int()
    assert driver.lib.cuGetProcAddress_v2(b"cuMemAlloc", byref(at), 12000, ctypes.c_uint64(0), byref(status)) == 0
    assert at.value == ctypes.cast(driver.lib.cuMemAlloc_v2, c_void_p).value
    assert driver.lib.cuGetProcAddress_v2(b"cuNoSuchThing", byref(at), 12000, ctypes.c_uint64(0), byref(status)) == NOT_FOUND


def test_tensor_maps_are_checked(driver):
    at = allocated(driver, 4096)
    memory = ctypes.create_string_buffer(256)
    place = ctypes.addressof(memory)
    place += -place % 64
    sizes, strides = (ctypes.c_uint64 * 2)(64, 16), (ctypes.c_uint64 * 1)(128)

    def encode(box):
        pairs = (c_uint * 2)(*box), (c_uint * 2)(1, 1)
        return driver.lib.cuTensorMapEncodeTiled(c_void_p(place), 6, c_uint(2), at, sizes, strides, *pairs, 0, 3, 2, 0)

    assert encode((64, 16)) == 0
    assert "shape=64,16 strides=128 box=64,16" in driver.calls[-1]
    assert encode((512, 16)) == INVALID_VALUE
