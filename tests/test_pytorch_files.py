"""PyTorch's .pt files: read without executing anything in them, written so that PyTorch reads them; a corpus of files that mean harm."""
from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.convert import convert
from tensorgrad.errors import UserError
from tensorgrad.serialization import pickled


def same(ours: Any, theirs: Any) -> None:
    """`ours` is what `theirs`, of PyTorch, is here."""
    import torch

    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, tg.Tensor)
        assert str(theirs.dtype) == f"torch.{ours.dtype.name}"
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert np.array_equal(ours.double().numpy(), theirs.detach().double().numpy())
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for x, y in zip(ours, theirs, strict=True):
            same(x, y)
    else:
        assert ours == theirs
        assert type(ours) is type(theirs)


def checkpoint() -> dict[str, Any]:
    """What a training script saves: weights of several types, an optimizer's state, odds and ends."""
    import torch

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 4).bfloat16())
    optimizer = torch.optim.Adam(model.parameters())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    x = torch.arange(12.0).reshape(3, 4)
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "transposed": x.t(), "row": x[1], "every other":
            x[:, ::2], "empty": torch.empty(0, 3), "number": torch.tensor(3), "flags": torch.tensor([True, False]), "param":
            torch.nn.Parameter(x.half()),
            "epoch": 3, "lr": 1.5, "large": 2**80, "negative": -5, "name": "ü\n", "none": None, "list": [1, (2, 3), []], 7: {None: 0.1}}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_pytorch_writes(tmp_path: Path, protocol: int) -> None:
    torch = pytest.importorskip("torch")
    obj = {**checkpoint(), "size": torch.Size([2, 3]), "bytes": b"a\xff", "set": {1, 2}}
    torch.save(obj, tmp_path / "x.pt", pickle_protocol=protocol)
    got = tg.load(tmp_path / "x.pt")
    same(got, {**obj, "size": tg.Size([2, 3])})
    assert np.shares_memory(got["transposed"].array, got["row"].array)  # one storage, as it was
    torch.save({"type": torch.float16}, tmp_path / "x.pt")
    assert tg.load(tmp_path / "x.pt")["type"] is tg.float16


def test_a_stream(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    torch.save([torch.ones(2)], f)
    assert tg.load(io.BytesIO(f.getvalue()))[0].tolist() == [1, 1]


def test_weights_move_both_ways(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    theirs, ours = (lib.nn.Sequential(lib.nn.Conv2d(3, 4, 3), lib.nn.BatchNorm2d(4)).eval() for lib in (torch, tg))
    torch.save(theirs.state_dict(), tmp_path / "x.pt")
    ours.load_state_dict(tg.load(tmp_path / "x.pt"))
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5), np.float32)
    assert np.allclose(ours(tg.from_numpy(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=1e-5)
    convert(str(tmp_path / "x.pt"), str(tmp_path / "x.safetensors"))
    assert sorted(load_file(tmp_path / "x.safetensors")) == sorted(theirs.state_dict())
    convert(str(tmp_path / "x.safetensors"), str(tmp_path / "y.pth"))
    back = torch.load(tmp_path / "y.pth", weights_only=True)
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in theirs.state_dict().items())


@pytest.mark.parametrize("mmap", [False, True])
def test_pytorch_reads_what_convert_writes(tmp_path: Path, mmap: bool) -> None:
    torch = pytest.importorskip("torch")
    obj = checkpoint()
    torch.save(obj, tmp_path / "x.pt")
    convert(str(tmp_path / "x.pt"), str(tmp_path / "y.pt"))
    back = torch.load(tmp_path / "y.pt", weights_only=True, mmap=mmap)
    convert(str(tmp_path / "y.pt"), str(tmp_path / "y.safetensors"))
    same(tg.load(tmp_path / "y.safetensors"), back)
    same(tg.load(tmp_path / "y.safetensors"), obj)


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    big = tg.zeros(1000)
    tg.save({"a": big, "b": big}, tmp_path / "x.safetensors")
    from tensorgrad.serialization import pytorch

    with open(tmp_path / "x.pt", "wb") as f:
        pytorch.write({"a": big, "b": big, "c": tg.ones(1000)}, f)
    assert 8000 < (tmp_path / "x.pt").stat().st_size < 11000
    back = torch.load(tmp_path / "x.pt", weights_only=True)
    assert back["a"].data_ptr() == back["b"].data_ptr()
    assert back["c"].sum() == 1000


def test_command(tmp_path: Path) -> None:
    tg.save({"w": tg.ones(2)}, tmp_path / "x.safetensors")
    command = [sys.executable, "-m", "tensorgrad.convert", str(tmp_path / "x.safetensors")]
    subprocess.run([*command, str(tmp_path / "x.pt")], check=True)
    assert tg.load(tmp_path / "x.pt")["w"].tolist() == [1, 1]
    failed = subprocess.run([*command, str(tmp_path / "x.txt")], capture_output=True, text=True)
    assert failed.returncode == 2
    assert "expected .safetensors, or .pt" in failed.stderr
    assert not (tmp_path / "x.txt").exists()
    (tmp_path / "y.pt").write_bytes(b"PK\x03\x04 and no more of it")
    with pytest.raises(UserError, match=r"y\.pt.*damaged zip archive"):
        convert(str(tmp_path / "y.pt"), str(tmp_path / "z.safetensors"))
    assert not (tmp_path / "z.safetensors").exists()


def test_options_that_would_run_code_or_are_not_there(tmp_path: Path) -> None:
    tg.save(tg.ones(2), tmp_path / "x")
    assert tg.load(tmp_path / "x", map_location="cpu").tolist() == [1, 1]
    assert tg.load(tmp_path / "x", "emu").device.type == "emu"
    with pytest.raises(ValueError, match="weights_only=False would run the code"):
        tg.load(tmp_path / "x", weights_only=False)
    with pytest.raises(TypeError, match="map_location must be a device or its name, not a dict"):
        tg.load(tmp_path / "x", map_location={"cuda:0": "cpu"})
    with pytest.raises(TypeError, match="mmap"):
        tg.load(tmp_path / "x", mmap=True)


# ---------------------------------------------------------------- files that mean harm

FLOATS = np.arange(6, dtype=np.float32).tobytes()


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def storage(key: bytes = b"0", count: bytes = b"K\x06", kind: bytes = b"FloatStorage") -> bytes:
    return b"(" + text(b"storage") + b"ctorch\n" + kind + b"\n" + text(key) + text(b"cpu") + count + b"tQ"


def tensor(size: bytes = b"K\x02K\x03\x86", stride: bytes = b"K\x03K\x01\x86", offset: bytes = b"K\x00", of: bytes = storage(),
           function: bytes = b"ctorch._utils\n_rebuild_tensor_v2\n", hooks: bytes = b"}") -> bytes:
    return function + b"(" + of + offset + size + stride + b"\x89" + hooks + b"tR"


def archive(program: bytes, records: dict[str, bytes] | None = None, folder: str = "archive/",
            compression: int = zipfile.ZIP_STORED) -> bytes:
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", compression) as z:
        for name, content in {"data.pkl": b"\x80\x02" + program + b".", "data/0": FLOATS, **(records or {})}.items():
            z.writestr(folder + name, content)
    return f.getvalue()


def call(module: str, name: str, argument: str) -> bytes:
    """The classic: name a function, give it an argument, call it."""
    return f"c{module}\n{name}\n(".encode() + text(argument.encode()) + b"tR"


def test_the_corpus_begins_with_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "good.pt").write_bytes(archive(tensor()))
    assert tg.load(tmp_path / "good.pt").tolist() == [[0, 1, 2], [3, 4, 5]]


class Bomb:
    def __init__(self, function: Any, *arguments: Any):
        self.what = function, arguments

    def __reduce__(self) -> Any:
        return self.what


def pickled_object(obj: Any, protocol: int = 2) -> bytes:
    return pickle.dumps(obj, protocol)[:-1]


def laughs(depth: int) -> bytes:
    """A list of ten times a list of ten times ... each written once."""
    program = b"(]"
    for level in range(depth):
        program += b"q" + bytes([level]) + b"](" + (b"h" + bytes([level])) * 10 + b"e"
    return program + b"l"


def doctored(change: Any) -> bytes:
    """A good file with a change to its bytes."""
    data = bytearray(archive(tensor()))
    return bytes(change(data) or data)


def overlapping() -> bytes:
    """Two records of the directory that are the same bytes: the bomb that needs no compression."""
    data = bytearray(archive(tensor(), {"data/1": FLOATS}))
    entries = [i for i in range(len(data)) if data[i:i + 4] == b"PK\x01\x02"]
    data[entries[2] + 42:entries[2] + 46] = data[entries[1] + 42:entries[1] + 46]
    return bytes(data)


def lying_size() -> bytes:
    """The directory says that a record is of 3 GB."""
    data = bytearray(archive(tensor()))
    entry = data.rfind(b"PK\x01\x02")
    data[entry + 20:entry + 28] = struct.pack("<II", 3 << 30, 3 << 30)
    return bytes(data)


def renamed(old: bytes, new: bytes) -> bytes:
    return archive(tensor(), {"data/11": b""}).replace(old, new)


def duplicate() -> bytes:
    return archive(tensor(), {"data/1": FLOATS}).replace(b"data/1", b"data/0")


HUGE = b"\x8a\x09" + (1 << 64).to_bytes(9, "little")

CORPUS: dict[str, tuple[Any, str]] = {
    # functions by name
    "os.system": (lambda: archive(call("os", "system", "touch RAN")), "holds a 'os.system'"),
    "posix.system": (lambda: archive(call("posix", "system", "touch RAN")), "holds a 'posix.system'"),
    "eval": (lambda: archive(call("__builtin__", "eval", "open('RAN', 'w')")), "holds a 'builtins.eval'"),
    "exec, protocol 4": (lambda: archive(pickled_object(Bomb(exec, "open('RAN', 'w')"), 4)), r"holds a 'builtins\.exec'"),
    "subprocess": (lambda: archive(pickled_object(Bomb(subprocess.Popen, ["touch", "RAN"]), 4)), r"holds a 'subprocess\.Popen'"),
    "getattr": (lambda: archive(pickled_object(Bomb(getattr, "x", "format"))), r"holds a 'builtins\.getattr'"),
    "a module that is not there": (lambda: archive(call("harmful_module", "run", "x")), r"holds a 'harmful_module\.run'"),
    "a name with dots": (lambda: archive(b"ctorch\nload.__globals__\n)R"), r"holds a 'torch\.load\.__globals__'"),
    "numpy": (lambda: archive(pickled_object(np.float64(1))), r"holds a 'numpy\.\w+\.multiarray\.scalar'"),
    "torch.load": (lambda: archive(call("torch", "load", "RAN")), r"holds a 'torch\.load'"),
    "a whole model": (lambda: archive(b"ctorch.nn.modules.linear\nLinear\n)\x81}b"), "of a model save its state_dict"),
    "a tensor class": (lambda: archive(b"ctorch._utils\n_rebuild_wrapper_subclass\n)R"), "_rebuild_wrapper_subclass"),
    # opcodes
    "INST": (lambda: archive(b"(X\x01\x00\x00\x00xios\nsystem\n"), "opcode INST"),
    "OBJ": (lambda: archive(b"(ccollections\nOrderedDict\no"), "opcode OBJ"),
    "NEWOBJ": (lambda: archive(b"ccollections\nOrderedDict\n)\x81"), "opcode NEWOBJ"),
    "NEWOBJ_EX": (lambda: archive(b"ccollections\nOrderedDict\n)}\x92"), "opcode NEWOBJ_EX"),
    "EXT1": (lambda: archive(b"\x82\x01"), "opcode EXT1"),
    "NEXT_BUFFER": (lambda: archive(b"\x97"), "opcode NEXT_BUFFER"),
    "PERSID": (lambda: archive(b"Pstorage\n"), "opcode PERSID"),
    "BUILD on a tensor": (lambda: archive(tensor() + b"}X\x01\x00\x00\x00aK\x01sb"), "gives attributes to a Tensor"),
    "BUILD with slots": (lambda: archive(b"}}X\x09\x00\x00\x00__class__K\x01sb"), "gives attributes to a dict"),
    "a call of a dict": (lambda: archive(b"})R"), "it calls a dict"),
    "a call of a storage's class": (lambda: archive(b"ctorch\nFloatStorage\n)R"), "it calls a _Kind"),
    "a function as data": (lambda: archive(b"ccollections\nOrderedDict\n"), "has a Function where data should be"),
    "a storage as data": (lambda: archive(storage()), "where data should be"),
    "an append to a dict": (lambda: archive(b"}K\x01a"), "fills a dict as if it were a list"),
    "items of a tensor": (lambda: archive(tensor() + b"K\x00K\x01s"), "fills a Tensor as if it were a dict"),
    "an empty stack": (lambda: archive(b"\x85"), "malformed"),
    "no mark": (lambda: archive(b"K\x01t"), "malformed"),
    "a mark in a list": (lambda: archive(b"](a"), "malformed"),
    "nothing kept there": (lambda: archive(b"h\x07"), "malformed"),
    "an unhashable key": (lambda: archive(b"}]K\x01s"), "malformed"),
    "no end": (lambda: archive(b"K\x01", {"data.pkl": b"\x80\x02K\x01"}), "exhausted before seeing STOP|malformed|no end"),
    "an unknown opcode": (lambda: archive(b"\xff"), "opcode"),
    "a number of digits without end": (lambda: archive(b"I" + b"9" * 100_000 + b"\n"), "limit|digits"),
    # objects that are larger than their files
    "billion laughs": (lambda: archive(laughs(30)), "elements written out"),
    "a list in itself": (lambda: archive(b"]q\x00h\x00a"), "contains itself"),
    "a dict in itself": (lambda: archive(b"}q\x00K\x01h\x00s"), "contains itself"),
    # tensors that are not in their storages
    "beyond the storage": (lambda: archive(tensor(offset=b"K\x01")), "reaches beyond its storage"),
    "a stride beyond": (lambda: archive(tensor(stride=b"K\x64K\x01\x86")), "reaches beyond its storage"),
    "a negative stride": (lambda: archive(tensor(stride=b"J\xfd\xff\xff\xffK\x01\x86")), "where sizes, strides"),
    "a negative offset": (lambda: archive(tensor(offset=b"J\xff\xff\xff\xff")), "where sizes, strides"),
    "a huge size": (lambda: archive(tensor(size=HUGE + b"K\x03\x86")), "where sizes, strides"),
    "a size that overflows": (lambda: archive(tensor(size=b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", stride=b"K\x00K\x00\x86")),
                              "repeats a storage"),
    "sizes in a list": (lambda: archive(tensor(size=b"](K\x02K\x03e")), "where sizes, strides"),
    "too few strides": (lambda: archive(tensor(stride=b"K\x03\x85")), "malformed"),
    "an array as storage": (lambda: archive(tensor(of=b"K\x01")), "has no storage"),
    "hooks": (lambda: archive(tensor(hooks=b"}K\x01K\x02s")), "hooks or metadata"),
    "more elements than the record": (lambda: archive(tensor(of=storage(count=b"K\x07"))), "should have 7 elements"),
    "a missing record": (lambda: archive(tensor(of=storage(key=b"9"))), "data/9 of a tensor is missing"),
    "a record outside": (lambda: archive(tensor(of=storage(key=b"../../etc/passwd"))), "is missing"),
    "bools that are neither": (lambda: archive(tensor(of=storage(count=b"K\x18", kind=b"BoolStorage"))), "other than 0 and 1"),
    # archives
    "no data.pkl": (lambda: archive(b"N").replace(b"data.pkl", b"code.pkl"), "without the record data.pkl"),
    "TorchScript": (lambda: archive(b"N", {"constants.pkl": b"\x80\x02).", "code/a.py": b"import os"}), "TorchScript"),
    "big-endian": (lambda: archive(tensor(), {"byteorder": b"big"}), "big-endian"),
    "a path upwards": (lambda: renamed(b"data/11", b"../../x"), "no name in a folder"),
    "an absolute path": (lambda: archive(tensor(), folder="/archive/"), "no name in a folder"),
    "a path of Windows": (lambda: renamed(b"data/11", b"..\\..\\x"), "no name in a folder"),
    "two folders": (lambda: renamed(b"archive/data/11", b"another/data/11"), "several folders"),
    "two of a name": (duplicate, "two records are named"),
    "a compressed bomb": (lambda: archive(tensor(), {"data/0": bytes(1 << 24)}, compression=zipfile.ZIP_DEFLATED), "is compressed"),
    "an overlapping bomb": (overlapping, "overlaps"),
    "a size that is a lie": (lying_size, "cut off"),
    "another byte in a record": (lambda: doctored(lambda d: d.replace(FLOATS, FLOATS[::-1])), "damaged zip archive: Bad CRC"),
    "an encrypted record": (lambda: doctored(lambda d: d.__setitem__(d.rfind(b"PK\x01\x02") + 8, 1)), "encrypted"),
    "no directory": (lambda: doctored(lambda d: d[:d.find(b"PK\x01\x02")]), "damaged zip archive"),
    "an old pickle": (lambda: pickle.dumps(Bomb(os.mkdir, "RAN"), 2), "this is a pickle"),
    "a huge header": (lambda: (1 << 40).to_bytes(8, "little") + b"{}", "no safetensors file"),
    "a header beyond the end": (lambda: (90_000_000).to_bytes(8, "little") + b"{}", "cut off"),
    "a deep header": (lambda: (200_000).to_bytes(8, "little") + b"[" * 200_000, "not that of a safetensors file"),
}


@pytest.mark.parametrize("name", CORPUS)
def test_files_that_mean_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make, words = CORPUS[name]
    path = tmp_path / "harm.pt"
    path.write_bytes(make())
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    with pytest.raises(ValueError, match=words) as caught:
        tg.load(path)
    assert str(caught.value).startswith(f"load: {str(path)!r}: ")
    assert os.listdir(tmp_path) == ["harm.pt"]
    assert not {m for m in set(sys.modules) - modules if m.split(".")[0] not in ("pickletools", "zipfile")}


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    data = archive(tensor())
    for n in range(len(data)):
        with pytest.raises(ValueError, match="load: 'the stream'"):
            tg.load(io.BytesIO(data[:n]))


def test_no_changed_byte_does_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte of a good file in turn: what is read is a tensor, or the error is ours."""
    monkeypatch.chdir(tmp_path)
    data = archive(tensor())
    rng = np.random.default_rng(0)
    read = 0
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        with contextlib.suppress(ValueError):
            tg.load(io.BytesIO(bytes(changed)))
            read += 1
    assert read < len(data) // 2
    assert os.listdir(tmp_path) == []


def test_the_machine_alone() -> None:
    plain = {"a": [1, 2.5, "x", None, True, (1, 2, 3, 4), {"b": b"x"}], 3: {1, 2}, "f": frozenset({1}), "o": OrderedDict(x=1)}
    for protocol in (1, 2, 3, 4, 5):
        program = pickle.dumps(plain, protocol)
        if protocol < 4:  # a frozenset is a call of its class there
            with pytest.raises(ValueError, match=r"builtins\.frozenset"):
                pickled.read(program, {}, lambda _: None)
            program = pickle.dumps({**plain, "f": 0}, protocol)
        got = pickled.read(program, {}, lambda _: None)
        assert got == ({**plain, "f": 0} if protocol < 4 else plain)
        assert type(got["o"]) is dict
