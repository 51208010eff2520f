"""The command `tensorgrad`: help, doctor, kernels, predict, and how errors look."""
from __future__ import annotations

import contextlib
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from commands import fails, process, run

import tensorgrad as tg


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits, long enough to know them."""
    from tensorgrad.cli import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.raises(SystemExit):
        main(["train", "cnn", "--epochs", "4", "--out", str(folder)])
    return folder


def test_help_and_version(capsys: pytest.CaptureFixture) -> None:
    text = run(capsys, "--help").out
    for command in ("doctor", "kernels", "predict", "train"):
        assert f"  {command} " in text
    assert "cnn" in run(capsys, "train", "--help").out
    text = run(capsys, "train", "cnn", "--help").out
    options = "data epochs batch-size lr seed out resume device dtype kernels smoke threads"
    for option in [f"--{name}" for name in options.split()]:
        assert f"  {option} " in text
    assert run(capsys, "--version").out.strip() == tg.__version__


def test_unknown_words(capsys: pytest.CaptureFixture) -> None:
    for arguments in ("fly", "train nothing", "train cnn --colour red", "train cnn --epochs many", "predict"):
        result = run(capsys, *arguments.split())
        assert result.code == 2
        assert "Error" in result.err
        assert "Traceback" not in result.err


def test_help_is_fast() -> None:
    """In processor time, which other programs do not stretch."""
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(3):
        before = used()
        assert "Usage: tensorgrad" in process("--help").communicate(timeout=60)[0]
        seconds.append(used() - before)
    assert min(seconds) < 1


def test_nothing_heavy_is_imported_for_help() -> None:
    code = """
import sys
from tensorgrad.cli import main
try:
    main(["--help"])
finally:
    print(sorted({"matplotlib", "PIL", "torch", "tensorgrad.nn", "tensorgrad.recipes.cnn"} & sys.modules.keys()))
"""
    assert process(code=code).communicate(timeout=30)[0].splitlines()[-1] == "[]"


def test_debug_shows_the_traceback() -> None:
    p = process("train", "cnn", "--data", "nothing", "--debug")
    _, err = p.communicate(timeout=30)
    assert p.returncode == 1
    assert "Traceback" in err
    assert "UserError: data 'nothing'" in err


def test_module_runs() -> None:
    code = "import runpy, sys; sys.argv = ['tensorgrad', '--version']; runpy.run_module('tensorgrad', run_name='__main__')"
    assert process(code=code).communicate(timeout=30)[0].strip() == tg.__version__


# ---------------------------------------------------------------- doctor and kernels


def test_doctor(capsys: pytest.CaptureFixture) -> None:
    result = run(capsys, "doctor")
    assert result.code == 0
    for word in ("python", "numpy", "blas behind numpy", "in use: ", "threads", "available", "cpu ", "cuda", "absent: ", "cache", "conv2d"):
        assert word in result.out
    report = json.loads(run(capsys, "doctor", "--json").out)
    assert set(report) == {"software", "processor", "memory", "devices", "folders", "packages", "kernels"}
    assert report["devices"]["cpu"].startswith("present")
    kernels = {row["op"]: row for row in report["kernels"] if row["device"] == "cpu"}
    assert kernels["softmax"]["kernel"] == "cpu/rows"
    assert "first of the op's defaults" in kernels["softmax"]["why"]


def test_kernels(capsys: pytest.CaptureFixture) -> None:
    rows = json.loads(run(capsys, "kernels", "--json").out)
    assert {(r["op"], r["device"], r["path"]) for r in rows} == {(k.op, k.device, k.path) for k in tg.kernels.list()}
    softmax = [r for r in rows if r["op"] == "softmax" and r["device"] == "cpu"]
    assert [r["runs"] for r in softmax] == [True] + [False] * (len(softmax) - 1)
    assert softmax[0]["source"] == "csrc/cpu/softmax.cpp"
    text = run(capsys, "kernels", "softmax").out
    assert "* softmax " in text
    assert "tensorgrad/ops/softmax.py" in text
    assert "conv2d" not in text
    assert "no kernels of an op 'sofmax'; near it: softmax" in fails(capsys, "kernels", "sofmax")


def test_kernels_shows_what_was_chosen(capsys: pytest.CaptureFixture) -> None:
    with tg.kernels.use("softmax", "cpu/numpy"):
        rows = json.loads(run(capsys, "kernels", "softmax", "--json").out)
        assert [(r["path"], r["chosen_by"]) for r in rows if r["runs"] and r["op"] == "softmax"] == [("cpu/numpy", "kernels.use")]
        report = json.loads(run(capsys, "doctor", "--json").out)
    assert {"op": "softmax", "device": "cpu", "kernel": "cpu/numpy", "why": "kernels.use asks for it"} in report["kernels"]


def test_doctor_survives_any_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "file").touch()
    monkeypatch.setenv("TG_CACHE", str(tmp_path / "file"))
    assert "cannot be read: Not a directory" in run(capsys, "doctor").out
    monkeypatch.delenv("TG_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert f"tensorgrad-{os.getuid()} (TG_CACHE sets another)" in run(capsys, "doctor").out


def test_too_many_threads_in_the_environment() -> None:
    code = "import os; os.environ['OMP_NUM_THREADS'] = '100000'; import tensorgrad; print(tensorgrad.get_num_threads())"
    out, err = process(code=code).communicate(timeout=30)
    assert out == "1024\n"
    assert "OMP_NUM_THREADS=100000: 1024 are used" in err


def test_wrong_environment_is_one_line() -> None:
    code = "import os; os.environ['TG_KERNELS'] = 'softmax=cpu/magic'; from tensorgrad.cli import main; main()"
    for command in (["kernels"], ["doctor"], ["train", "cnn", "--smoke"]):
        p = process(*command, code=code)
        _, err = p.communicate(timeout=30)
        assert (p.returncode, len(err.splitlines())) == (2, 1), err
        assert "TG_KERNELS: softmax has no kernel 'cpu/magic'" in err


# ---------------------------------------------------------------- predict


def test_predict(trained: Path, capsys: pytest.CaptureFixture) -> None:
    files = [trained / f"example-{d}.png" for d in range(10)]
    rows = json.loads(run(capsys, "predict", trained, *files, "--json").out)
    assert sum(row["class"] == str(d) for d, row in enumerate(rows)) >= 9
    for row in rows:
        assert len(row["top3"]) == 3
        assert row["probability"] == row["top3"][0]["probability"] >= row["top3"][1]["probability"]
    text = run(capsys, "predict", trained, files[0]).out
    assert str(files[0]) in text
    assert "%" in text


def test_predict_inverted(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from PIL import Image

    with Image.open(trained / "example-0.png") as image:
        paper = Image.fromarray(255 - np.asarray(image)).resize((80, 80), Image.Resampling.NEAREST)
    paper.convert("RGB").save(tmp_path / "paper.png")
    assert "try --invert" in run(capsys, "predict", trained, tmp_path / "paper.png").err
    inverted = run(capsys, "predict", trained, tmp_path / "paper.png", "--invert", "--json")
    assert inverted.err == ""
    plain = run(capsys, "predict", trained, trained / "example-0.png", "--json")
    assert json.loads(inverted.out)[0]["probability"] == pytest.approx(json.loads(plain.out)[0]["probability"], abs=1e-5)


def test_predict_bad_input(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "no such file" in fails(capsys, "predict", trained, tmp_path / "none.png")
    assert "cannot be read as an image" in fails(capsys, "predict", trained, trained / "config.json")
    assert "holds no run" in fails(capsys, "predict", tmp_path, trained / "example-0.png")


def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    main, terminal = os.openpty()
    code = ("import os, sys; terminal = os.fdopen(int(sys.argv.pop(1)), 'w'); os.dup2(terminal.fileno(), 1); "
            "from tensorgrad.cli import main; main()")
    p = process(terminal, "train", "cnn", "--smoke", "--out", tmp_path / "run", code=code, pass_fds=[terminal])
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end was closed
        while piece := os.read(main, 4096):
            shown += piece
    os.close(main)
    assert p.wait(timeout=30) == 0
    for words in (b"epoch 1/1", b"loss", b"acc", b"samples/s", b"test accuracy"):
        assert words in shown
