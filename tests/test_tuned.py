"""Tables of tuned configurations: what is looked up where, which files are refused, and what the command says without a GPU."""
from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from commands import fails, run
from ml_dtypes import bfloat16

from tensorgrad import triton
from tensorgrad.triton import tuned

RUNG, SHAPE, CHIP = "matmul v09_hopper", "512x512x512", "sm_90x132"
DEFAULT = {"BM": 128, "num_warps": 8}
HALF, BRAIN = np.dtype(np.float16), np.dtype(bfloat16)


def forget():
    tuned.tables.cache_clear()
    tuned.chip.cache_clear()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A cache folder and a package of the test's own, on a machine with one GPU."""
    monkeypatch.setenv("TG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuned, "SHIPPED", tmp_path / "package")
    monkeypatch.setattr(tuned, "INTERPRETED", False)
    monkeypatch.setattr(tuned.driver, "chips", lambda: [(90, 132)])
    forget()
    yield
    forget()


def entry(bm, seconds=None, warps=8):
    said = {"seconds": seconds} if seconds else {"passed_over": "spills 8 bytes"}
    return {"configuration": {"BM": bm, "num_warps": warps}, **said}


def keep(path, entries, chip=CHIP, kind="float16", shape=SHAPE):
    tuned.write(path, chip, {f"{RUNG} {kind} {shape}": entries})
    forget()


def found(kind=HALF, shape=SHAPE):
    return tuned.lookup(RUNG, kind, shape, DEFAULT)["BM"]


def test_the_users_file_then_the_packages_then_the_default(monkeypatch):
    assert found() == 128
    keep(tuned.SHIPPED / f"{CHIP}.json", [entry(64, 2e-4), entry(32, 1e-4), entry(16)])
    assert found() == 32  # the fastest; what was passed over is never taken
    keep(tuned.kept(CHIP), [entry(256, 3e-4)])
    assert found() == 256
    monkeypatch.setattr(tuned, "trial", lambda key, default: {**default, "BM": 8})
    assert found() == 8


def test_where_all_were_passed_over_the_default_stands():
    keep(tuned.kept(CHIP), [entry(64), entry(32)])
    assert found() == 128


def test_dtypes_shapes_and_chips_are_apart(monkeypatch):
    keep(tuned.kept(CHIP), [entry(64, 1e-4)])
    assert (found(HALF), found(BRAIN), found(HALF, "512x512x1024")) == (64, 128, 128)
    for others in ([(80, 108)], [(90, 114)], [(90, 132), (80, 108)], []):
        monkeypatch.setattr(tuned.driver, "chips", lambda others=others: others)
        forget()
        assert found() == 128, others
    monkeypatch.setattr(tuned.driver, "chips", lambda: [(90, 132), (90, 132)])
    forget()
    assert found() == 64


def test_constants_that_the_rung_no_longer_has_are_not_taken():
    keep(tuned.kept(CHIP), [{"configuration": {"BM": 64, "BK": 32, "num_warps": 4}, "seconds": 1e-4}])
    assert found() == 128


def test_classes_of_shapes():
    assert tuned.class_of(512, 513, 1) == "512x1024x1"
    assert tuned.class_of(1024, 700) == "1024x1024"


def table(tried, schema=1, chip=CHIP):
    return json.dumps({"schema": schema, "chip": chip, "tried": tried})


def one(**changed):
    return table({"a": [{"configuration": {"BM": 64}, "seconds": 1e-4, **changed}]})


@pytest.mark.parametrize(("text", "said"), [
    ("{", "it is damaged, no JSON"), ("\x00\xff", "it is damaged, no JSON"),
    ("[]", "it has no schema, and schema 1 is expected"), (table({}, schema=2), "it has schema 2, and schema 1 is expected"),
    (table({}, chip="sm_80x108"), "it is for 'sm_80x108', not sm_90x132"),
    *[(text, "an entry under 'tried' is not what tensorgrad tune writes") for text in (
        table([]), table({"a": {}}), table({"a": [7]}), one(configuration={"BM": 100}), one(configuration={"BM": "64"}), one(seconds=-1.0),
        one(seconds="fast"), one(seconds=float("nan")), one(configuration={"num_stages": 0}), one(passed_over="spills 8 bytes"))]])
def test_a_file_that_is_none_is_ignored_in_one_line(text, said):
    path = tuned.kept(CHIP)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    keep(tuned.SHIPPED / f"{CHIP}.json", [entry(64, 1e-4)])
    with pytest.warns(UserWarning, match="is ignored") as warned:
        assert [found(), found()] == [64, 64]
    assert [str(w.message) for w in warned] == [f"{path} is ignored: {said}"]


def test_a_file_that_cannot_be_read_is_ignored_in_one_line():
    tuned.kept(CHIP).mkdir(parents=True)
    with pytest.warns(UserWarning, match="is ignored: it cannot be read"):
        assert found() == 128


def test_no_file_is_nothing_to_warn_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found() == 128


def test_doctor_says_what_there_is(capsys):
    assert "in the package none: not yet measured on a GPU; yours none: tensorgrad tune makes some" in run(capsys, "doctor").out
    keep(tuned.kept(CHIP), [entry(64, 1e-4)])
    tuned.kept("sm_80x108").write_text("{")
    assert f"yours {tuned.kept('sm_80x108')} is ignored: it is damaged, no JSON, {CHIP}" in run(capsys, "doctor").out


def test_tune_without_a_gpu_is_one_line(capsys, monkeypatch):
    from tensorgrad.cuda import driver

    monkeypatch.setattr(driver, "examine", lambda: driver.State(None, 0, "there is no NVIDIA driver here", None))
    assert fails(capsys, "tune") == "tensorgrad: tune measures on a CUDA GPU: there is no NVIDIA driver here"
    monkeypatch.setattr(driver, "examine", lambda: driver.State(13000, 1, None, "cupy"))
    monkeypatch.setattr(triton, "absent", lambda: "Triton is not installed")
    assert fails(capsys, "tune") == "tensorgrad: tune measures on a CUDA GPU: Triton is not installed"
