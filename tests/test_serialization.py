"""tg.save and tg.load: round trips, refusals, damaged files, and writing that survives faults."""
from __future__ import annotations

import io
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections import OrderedDict

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.atomic import write_atomic


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, tg.Tensor):
        assert a.dtype is b.dtype
        assert a.shape == b.shape
        assert a.numpy().tobytes() == b.numpy().tobytes()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for k in a:
            same(a[k], b[k])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b or (math.isnan(a) and math.isnan(b))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 5)])
def test_every_dtype_and_shape(path, dtype, shape):
    values = np.random.default_rng(0).integers(0, 2, shape)
    t = tg.tensor(values, dtype=getattr(tg, dtype))
    tg.save(t, path)
    same(tg.load(path), t)


def test_any_nesting(path):
    obj = {"model": {"w": tg.ones(2, 3), "odd": tg.ones(5, dtype=tg.bool)}, "epoch": 3, "lr": 0.1, "name": "täst\n\"", "none": None,
           "flags": [True, False], "betas": (0.9, 0.999), "state": {0: {"m": tg.zeros(2)}, 1: {}}, "$tensor": "no tensor",
           "inf": [math.inf, -math.inf, math.nan], "empty": [{}, [], ()], 7: {None: 1, 2.5: "x", True: "yes"}, "big": 2**70,
           "list": [[tg.zeros(1)], (tg.ones(1), [tg.ones(2)])], "a.b": tg.zeros(1), "a": {"b": tg.ones(1)}, "__metadata__": tg.ones(1)}
    tg.save(obj, path)
    same(tg.load(path), obj)
    for plain in (3, None, "text", [], {}, {"$dict": 1}, {"$tuple": []}):
        tg.save(plain, path)
        same(tg.load(path), plain)


def test_strided_and_shared_tensors(path):
    a = tg.from_numpy(np.arange(12.0).reshape(3, 4).T)
    tg.save({"a": a, "same": a, "row": tg.from_numpy(a.numpy()[1])}, path)
    got = tg.load(path)
    assert got["a"].tolist() == got["same"].tolist() == a.tolist()
    assert got["row"].tolist() == a.numpy()[1].tolist()
    got["a"].array[...] = 0  # loaded tensors own writable memory
    assert got["same"].tolist() == a.tolist()


def test_state_dict_is_an_ordinary_safetensors_file(path):
    from safetensors.numpy import load_file, save_file

    m = nn.Sequential(nn.BatchNorm1d(3), nn.PReLU())
    tg.save(m.state_dict(), path)
    theirs = load_file(path)
    assert sorted(theirs) == sorted(m.state_dict())
    for key, value in m.state_dict().items():
        assert np.array_equal(theirs[key], value.numpy())
        assert theirs[key].dtype == value.numpy().dtype
    m.load_state_dict(tg.load(path))
    save_file({"x": np.arange(3)}, path)
    assert tg.load(path)["x"].tolist() == [0, 1, 2]


def test_bfloat16_agrees_with_the_library(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    tg.save({"x": tg.tensor([1.5, -2.0], dtype=tg.bfloat16)}, path)
    assert load_file(path)["x"].tolist() == [1.5, -2.0]
    save_file({"x": torch.tensor([0.5], dtype=torch.bfloat16)}, path)
    assert tg.load(path)["x"].dtype is tg.bfloat16


def test_streams():
    f = io.BytesIO()
    tg.save([tg.ones(2)], f)
    f.seek(0)
    assert tg.load(f)[0].tolist() == [1, 1]


class Thing:
    pass


@pytest.mark.parametrize(("obj", "message"), [
    ({"optimizer": {"state": [{"foo": len}]}}, r"optimizer\.state\[0\]\.foo: a builtin_function_or_method cannot be saved"),
    ({"optimizer": {"state": [{"foo": lambda: 0}]}}, r"optimizer\.state\[0\]\.foo: a function cannot be saved"),
    ([1, {2: Thing()}], r"\[1\]\[2\]: a Thing cannot be saved"),
    ({"x": np.ones(2)}, r"x: a NumPy ndarray cannot be saved; tensorgrad\.from_numpy"),
    ({"x": {1, 2}}, r"x: a set cannot be saved"),
    ({"x": b"abc"}, r"x: a bytes cannot be saved"),
    ({(1, 2): 3}, r"the object: a tuple cannot be saved as a key"),
    ({"m": nn.ReLU()}, r"m: a ReLU cannot be saved; save its state_dict\(\)"),
    (Thing(), r"the object: a Thing cannot be saved"),
])
def test_what_cannot_be_stored_is_refused_by_place(path, obj, message):
    with pytest.raises(TypeError, match="save: " + message):
        tg.save(obj, path)
    assert os.listdir(path.parent) == []


def test_a_loop_is_refused(path):
    a = {"b": []}
    a["b"].append(a)
    with pytest.raises(ValueError, match=r"b\[0\]: a dict that contains itself"):
        tg.save(a, path)


# ---------------------------------------------------------------- damaged and foreign files


@pytest.fixture
def saved(path):
    tg.save({"a": tg.ones(5), "b": {"c": tg.zeros(3, dtype=tg.int64), "n": 1}}, path)
    return path


def test_every_truncation_is_noticed(saved):
    whole = saved.read_bytes()
    for n in range(len(whole)):
        saved.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"file\.safetensors") as caught:
            tg.load(saved)
        assert "expected" in str(caught.value) or "should have" in str(caught.value)
    saved.write_bytes(whole + b"x")
    with pytest.raises(ValueError, match=rf"bytes follow its end: it has {len(whole) + 1} bytes; expected {len(whole)}"):
        tg.load(saved)
    with pytest.raises(ValueError, match="cut off"):
        tg.load(io.BytesIO(whole[:-1]))


def test_every_flipped_byte_is_noticed(saved):
    whole = bytearray(saved.read_bytes())
    length = int.from_bytes(whole[:8], "little")
    text = bytes(whole[8:8 + length]).decode()
    ignored = {8 + text.index(word) + i for word in ('"format": "pt"',) for i in range(len(word))}
    ignored |= set(range(8 + len(text.rstrip()), 8 + length))  # padding
    for i in range(len(whole)):
        if i not in ignored:
            whole[i] ^= 0x15
            saved.write_bytes(whole)
            with pytest.raises(ValueError, match=r"file\.safetensors"):
                tg.load(saved)
            whole[i] ^= 0x15


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(("header", "data", "message"), [
    ({"x": {**F32, "shape": [3]}}, b"\0" * 8, "tensor 'x' of shape .3,. and type F32 should have 12 bytes, but its place has 8"),
    ({"x": {**F32, "dtype": "F8_E4M3"}}, b"\0" * 8, "elements of type 'F8_E4M3'; tensorgrad has BOOL"),
    ({"x": F32, "y": {**F32, "data_offsets": [4, 12]}}, b"\0" * 12, "tensor 'y' begins at byte 4; expected 8"),
    ({"x": {**F32, "data_offsets": [8, 16]}}, b"\0" * 16, "begins at byte 8; expected 0"),
    ({"x": {**F32, "shape": [-2]}}, b"", "expected whole numbers"),
    ({"x": {"dtype": "F32"}}, b"", "the entry of tensor 'x' is"),
    ([1, 2], b"", "its header is not that of a safetensors file"),
    (b"not json", b"", "its header is not that of a safetensors file"),
    (b"[" * 100000, b"", "its header is not that of a safetensors file"),
    ({"__metadata__": {"tensorgrad": "{}"}}, b"", "it was changed after it was saved"),
])
def test_malformed_headers(path, header, data, message):
    write(path, header, data)
    with pytest.raises(ValueError, match=message):
        tg.load(path)


def test_pickles_are_not_opened(path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(path) + ".ran",))

    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="this is a pickle"):
        tg.load(path)
    assert not os.path.exists(str(path) + ".ran")
    path.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    with pytest.raises(ValueError, match="damaged zip archive"):
        tg.load(path)


@pytest.mark.parametrize("content", [b"", b"abc", b"label,pixel1\n" * 50, b"\x89PNG\r\n\x1a\n" + b"\0" * 64, bytes(range(256)) * 9])
def test_foreign_files(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.safetensors"):
        tg.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="nothing was written"):
        tg.save(1, tmp_path / "no" / "folder")


# ---------------------------------------------------------------- faults while writing


def test_a_fault_at_any_moment_leaves_the_former_file(path, monkeypatch):
    tg.save({"x": tg.ones(3)}, path)
    before = path.read_bytes()

    def failing_chunks(n):
        for i in range(3):
            if i == n:
                raise KeyboardInterrupt
            yield b"new"

    for n in range(3):
        with pytest.raises(KeyboardInterrupt):
            write_atomic(path, failing_chunks(n))
    for name in ("fsync", "replace"):
        with monkeypatch.context() as m:
            def full(*args):
                raise OSError(28, "No space left on device")

            m.setattr(os, name, full)
            with pytest.raises(OSError, match=r"cannot write '.*file.safetensors': No space left on device; the former file is unchanged"):
                tg.save({"x": tg.zeros(3)}, path)
        assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def run(code, *args):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code), *map(str, args)], capture_output=True, text=True, check=False)


def test_a_file_size_limit_leaves_the_former_file(path):
    """The kernel itself refuses the write, in the middle of the file."""
    tg.save({"x": tg.ones(3)}, path)
    result = run("""
        import resource, sys
        import tensorgrad as tg
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            tg.save({"x": tg.zeros(1_000_000)}, sys.argv[1])
        except OSError as e:
            print(e)
    """, path)
    assert "the former file is unchanged" in result.stdout, result.stderr
    assert tg.load(path)["x"].tolist() == [1, 1, 1]
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_former_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs privileges")
    try:
        tg.save({"x": tg.ones(3)}, disk / "f")
        with pytest.raises(OSError, match="No space left on device; the former file is unchanged"):
            tg.save({"x": tg.zeros(1_000_000)}, disk / "f")
        assert tg.load(disk / "f")["x"].tolist() == [1, 1, 1]
        assert os.listdir(disk) == ["f"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_kill_while_saving_leaves_a_whole_file(path):
    tg.save({"x": tg.zeros(300_000)}, path)
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent("""
        import sys
        import tensorgrad as tg
        i = 0
        while True:
            tg.save({"x": tg.full((300_000,), float(i))}, sys.argv[1])
            i += 1
            print(i, flush=True)
    """), str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(3):
        child.stdout.readline()
    time.sleep(0.0137)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    x = tg.load(path)["x"].numpy()
    assert x[0] >= 2
    assert (x == x[0]).all()


def test_a_link_is_followed(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    tg.save(1, link)
    assert link.is_symlink()
    assert tg.load(path) == 1


def test_order_of_keys_is_kept(path):
    d = OrderedDict((k, tg.zeros(1, dtype=t)) for k, t in (("z", tg.int8), ("a", tg.float64), ("m", tg.float16)))
    tg.save(d, path)
    assert list(tg.load(path)) == ["z", "a", "m"]
