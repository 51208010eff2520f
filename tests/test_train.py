"""Training runs: what they write, exact resuming, and everything that may end one early."""
from __future__ import annotations

import fcntl
import json
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import fails, metrics, process, run, same_weights
from test_data_sets import csv_file, idx_bytes, idx_contents, idx_folder, table

import tensorgrad as tg
from tensorgrad.cli import main
from tensorgrad.recipes.common.display import Display

CNN = ("train", "cnn", "--smoke", "--epochs", 3)  # 8 batches an epoch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.raises(SystemExit):
        main([str(a) for a in (*CNN, "--out", folder)])
    return folder


@pytest.fixture
def at_batch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """`at_batch(n, action)` calls `action` after the n-th batch that is trained from now on."""
    def plan(n: int, action: Callable[[], object]) -> None:
        count, original = [0], Display.batch

        def batch(self: Display, *args: Any) -> None:
            original(self, *args)
            count[0] += 1
            if count[0] == n:
                action()

        monkeypatch.setattr(Display, "batch", batch)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield plan
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_run_folder(whole: Path) -> None:
    lines = metrics(whole)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 3]
    for line in lines[:3]:
        assert line.keys() == {"epoch", "train_loss", "train_acc", "val_loss", "val_acc"}
        assert 0 <= line["val_acc"] <= 1
    assert lines[3].keys() == {"epoch", "test_loss", "test_acc"}
    assert lines[2]["train_loss"] < lines[0]["train_loss"]
    raw = json.loads((whole / "metrics.jsonl").read_text().splitlines()[0])
    assert raw["seconds"] > 0
    assert raw["samples_per_s"] > 0
    for name in ("loss", "accuracy", "confusion", "mistakes", "example-3"):
        assert (whole / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    settings = json.loads((whole / "config.json").read_text())
    assert settings["recipe"] == "cnn"
    assert settings["config"]["epochs"] == 3
    assert settings["data"]["classes"] == [str(d) for d in range(10)]
    assert not list(whole.glob(".*.tmp"))


def test_seed_decides(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(capsys, *CNN, "--out", tmp_path / "same").code == 0
    assert run(capsys, *CNN, "--out", tmp_path / "other", "--seed", 1).code == 0
    assert metrics(tmp_path / "same") == metrics(whole)
    assert same_weights(tmp_path / "same", whole)
    assert metrics(tmp_path / "other") != metrics(whole)


@pytest.mark.parametrize("batch", [1, 11, 16, 24])
def test_interrupted_and_resumed_is_uninterrupted(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture, at_batch: Callable, batch: int
) -> None:
    """Stopped in the middle of an epoch, at its end, and after the last batch of all."""
    folder = tmp_path / "run"
    at_batch(batch, lambda: signal.raise_signal(signal.SIGTERM))
    words = fails(capsys, *CNN, "--out", folder, code=128 + signal.SIGTERM)
    assert "SIGTERM: saved after" in words
    assert f"tensorgrad train cnn --resume {folder}" in words
    tg.manual_seed(12345)  # whatever happened in between
    result = run(capsys, "train", "cnn", "--resume", folder)
    assert result.code == 0, result
    assert metrics(folder) == metrics(whole)
    assert same_weights(folder, whole)


def test_interrupted_twice(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture, at_batch: Callable) -> None:
    folder = tmp_path / "run"
    at_batch(3, lambda: signal.raise_signal(signal.SIGINT))
    assert "0 of 3 epochs and 96 images of the next" in fails(capsys, *CNN, "--out", folder, code=130)
    at_batch(10, lambda: signal.raise_signal(signal.SIGINT))
    assert "1 of 3 epochs and 160 images of the next" in fails(capsys, "train", "cnn", "--resume", folder, code=130)
    assert run(capsys, "train", "cnn", "--resume", folder).code == 0
    assert metrics(folder) == metrics(whole)
    assert same_weights(folder, whole)


def test_interrupted_while_drawing(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorgrad.recipes.common import plots

    with monkeypatch.context() as m:
        m.setattr(plots, "confusion_matrix", lambda *_: signal.raise_signal(signal.SIGINT))
        words = fails(capsys, *CNN, "--out", tmp_path / "run", code=130)
    assert "SIGINT: the last checkpoint is whole; continue with tensorgrad train cnn --resume" in words
    assert run(capsys, "train", "cnn", "--resume", tmp_path / "run").code == 0
    assert metrics(tmp_path / "run") == metrics(whole)
    assert (tmp_path / "run" / "mistakes.png").exists()


def test_a_closed_terminal_and_nohup(tmp_path: Path, capsys: pytest.CaptureFixture, at_batch: Callable) -> None:
    at_batch(3, lambda: signal.raise_signal(signal.SIGHUP))
    assert "SIGHUP: saved after" in fails(capsys, *CNN, "--out", tmp_path / "run", code=128 + signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        at_batch(3, lambda: signal.raise_signal(signal.SIGHUP))
        assert run(capsys, "train", "cnn", "--resume", tmp_path / "run").code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_ends_at_once(tmp_path: Path, capsys: pytest.CaptureFixture, at_batch: Callable) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_batch(2, twice)
    assert "SIGINT, twice: stopped at once" in fails(capsys, *CNN, "--out", tmp_path / "run", code=130)
    assert run(capsys, "train", "cnn", "--resume", tmp_path / "run").code == 0


def test_finished_run_resumed_changes_nothing(whole: Path, capsys: pytest.CaptureFixture) -> None:
    before = (whole / "metrics.jsonl").read_bytes(), (whole / "checkpoint.safetensors").read_bytes()
    result = run(capsys, "train", "cnn", "--resume", whole)
    assert result.code == 0
    assert "test accuracy" in result.out
    assert ((whole / "metrics.jsonl").read_bytes(), (whole / "checkpoint.safetensors").read_bytes()) == before


def test_sigint_to_the_process(tmp_path: Path) -> None:
    p = process("train", "cnn", "--epochs", 500, "--out", tmp_path / "run")
    assert p.stdout is not None
    while "epoch 1/500" not in p.stdout.readline():
        assert p.poll() is None
    time.sleep(0.05)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=30)
    assert p.returncode == 130, err
    assert err.startswith("tensorgrad: SIGINT: saved after")
    assert len(err.splitlines()) == 1
    assert tg.load(tmp_path / "run" / "checkpoint.safetensors")["epoch"] >= 1


KILLED = """
import os, signal, sys
from tensorgrad import atomic
count, fsync = 0, os.fsync
def dying(fd):
    global count
    count += "checkpoint" in os.readlink(f"/proc/self/fd/{fd}")
    if count == %d:
        os.kill(os.getpid(), signal.SIGKILL)  # the bytes are written, the rename is yet to come
    fsync(fd)
atomic.os.fsync = dying
from tensorgrad.cli import main
main()
"""


@pytest.mark.parametrize("save", [2, 4])
def test_killed_while_saving(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture, save: int) -> None:
    folder = tmp_path / "run"
    p = process(*CNN, "--out", folder, code=KILLED % save)
    p.communicate(timeout=60)
    assert p.returncode == -signal.SIGKILL
    assert list(folder.glob(".checkpoint*.tmp"))
    assert tg.load(folder / "checkpoint.safetensors")["epoch"] == save - 2
    assert run(capsys, "train", "cnn", "--resume", folder).code == 0
    assert metrics(folder) == metrics(whole)
    assert same_weights(folder, whole)
    assert not list(folder.glob(".*.tmp"))


def test_full_disk_while_training(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture, at_batch: Callable) -> None:
    folder, hard = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    at_batch(12, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard)))
    words = fails(capsys, *CNN, "--out", folder, code=1)
    assert "the checkpoint could not be written" in words
    assert "the last checkpoint is whole" in words
    assert "--resume" in words
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert run(capsys, "train", "cnn", "--resume", folder).code == 0
    assert metrics(folder) == metrics(whole)
    assert same_weights(folder, whole)


def test_full_disk_from_the_start(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)); from tensorgrad.cli import main; main()"
    p = process(*CNN, "--out", tmp_path / "run", code=limit)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 1, err
    assert len(err.splitlines()) == 1
    assert "nothing was trained yet" in err


def test_diverging_loss(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = fails(capsys, *CNN, "--out", tmp_path / "run", "--lr", 1e30, code=1)
    assert "training diverged: the loss is" in words
    assert "of epoch 1" in words
    state = tg.load(tmp_path / "run" / "checkpoint.safetensors")
    assert all(np.isfinite(t.numpy()).all() for t in state["model"].values())


# ---------------------------------------------------------------- what is refused


def test_a_run_is_not_overwritten(whole: Path, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in whole.iterdir()}
    assert "already holds a run (config.json, metrics.jsonl, checkpoint.safetensors): continue it with --resume" in fails(
        capsys, *CNN, "--out", whole)
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == before
    (tmp_path / "file").touch()
    assert "is a file; --out takes a folder" in fails(capsys, *CNN, "--out", tmp_path / "file")
    assert "--out: the name of a folder is expected" in fails(capsys, *CNN, "--out", "")
    assert "nnn: File name too long" in fails(capsys, *CNN, "--out", tmp_path / ("n" * 300))


@pytest.mark.parametrize(("option", "value", "words"), [
    ("--lr", 0.1, "was started with --lr 0.004, not 0.1"),
    ("--data", "mnist", "was started with --data digits, not mnist"),
    ("--seed", 3, "was started with --seed 0, not 3"),
    ("--epochs", 9, "was started with --epochs 3, not 9"),
    ("--dtype", "float64", "was started with --dtype float32, not float64"),
    ("--out", "elsewhere", "a resumed run stays in its folder"),
])
def test_resumed_with_other_settings(whole: Path, capsys: pytest.CaptureFixture, option: str, value: object, words: str) -> None:
    assert words in fails(capsys, "train", "cnn", "--resume", whole, option, value)


def test_resumed_with_other_data(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lines = table(60)
    file = csv_file(tmp_path, lines)
    assert run(capsys, "train", "cnn", "--data", f"csv:{file}", "--epochs", 1, "--out", tmp_path / "run").code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["labels"] == [0, 1, 2, 4]
    csv_file(tmp_path, [*lines[:-1], lines[0]])
    assert "was trained on other data: fingerprint was" in fails(capsys, "train", "cnn", "--resume", tmp_path / "run")


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of the uninterrupted run, to be damaged."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for p in whole.iterdir():
        (folder / p.name).write_bytes(p.read_bytes())
    return folder


def test_damaged_checkpoint(copy: Path, capsys: pytest.CaptureFixture) -> None:
    path = copy / "checkpoint.safetensors"
    content = path.read_bytes()
    for damaged, words in ((content[:-7], "cut off"), (content[:-7] + b"\x00\x01\x02\x03\x04\x05\x06", "was changed"), (b"", "has 0 bytes"),
                           (b"\x80\x02}q\x00." + b"x" * 100, "pickle")):
        path.write_bytes(damaged)
        for command in (("train", "cnn", "--resume", copy), ("predict", copy, copy / "example-1.png")):
            message = fails(capsys, *command)
            assert words in message
            assert str(path) in message
    path.unlink()
    assert "has no checkpoint" in fails(capsys, "train", "cnn", "--resume", copy)


def test_checkpoint_of_another_model(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = copy / "checkpoint.safetensors"
    state = tg.load(path)
    wrong = {**state, "model": {**state["model"], "classifier.4.weight": tg.zeros(7, 128)}}
    tg.save(wrong, path)
    for command in (("train", "cnn", "--resume", copy), ("predict", copy, copy / "example-1.png")):
        message = fails(capsys, *command)
        assert "does not fit" in message
        assert "classifier.4.weight" in message
    tg.save({"weights": tg.zeros(3)}, path)
    assert "holds no training state" in fails(capsys, "train", "cnn", "--resume", copy)


def test_incomplete_training_state(copy: Path, capsys: pytest.CaptureFixture) -> None:
    path = copy / "checkpoint.safetensors"
    state = tg.load(path)
    tg.save({k: v for k, v in state.items() if k != "scheduler"}, path)
    assert "it lacks scheduler" in fails(capsys, "train", "cnn", "--resume", copy)
    tg.save({**state, "random": [1]}, path)
    assert "does not fit" in fails(capsys, "train", "cnn", "--resume", copy)


def test_killed_before_the_first_checkpoint(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The settings are there: resuming starts at the beginning."""
    folder = tmp_path / "run"
    process(*CNN, "--out", folder, code=KILLED % 1).communicate(timeout=60)
    assert (folder / "config.json").exists()
    assert not (folder / "checkpoint.safetensors").exists()
    assert "continue it with --resume" in fails(capsys, *CNN, "--out", folder)
    assert "ended before anything was trained; go on with" in fails(capsys, "predict", folder, whole / "example-1.png")
    settings = (folder / "config.json").read_text()
    (folder / "config.json").write_text(settings.replace('"epochs": 3', '"epochs": "three"'))
    assert "in its settings epochs is 'three'" in fails(capsys, "train", "cnn", "--resume", folder)
    (folder / "config.json").write_text(settings)
    assert run(capsys, "train", "cnn", "--resume", folder).code == 0
    assert metrics(folder) == metrics(whole)
    assert same_weights(folder, whole)


def test_commands_to_type_are_quoted(tmp_path: Path, capsys: pytest.CaptureFixture, at_batch: Callable) -> None:
    folder = tmp_path / "my run"
    at_batch(1, lambda: signal.raise_signal(signal.SIGTERM))
    assert f"tensorgrad train cnn --resume '{folder}'" in fails(capsys, *CNN, "--out", folder, code=128 + signal.SIGTERM)
    assert f"tensorgrad predict '{folder}' '{folder}'/example-*.png" in run(capsys, "train", "cnn", "--resume", folder).out


def test_damaged_settings(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, "recipe": "vae"}))
    assert "is a run of the recipe 'vae', not of 'cnn'" in fails(capsys, "train", "cnn", "--resume", copy)
    assert "config.json: the recipe is 'vae'; there are: cnn" in fails(capsys, "predict", copy, copy / "example-1.png")
    for part, key, value in (("config", "epochs", 5), ("config", "lr", None), ("data", "size", [8]), ("data", "mean", "x")):
        (copy / "config.json").write_text(json.dumps({**settings, part: {**settings[part], key: value}}))
        for command in (("train", "cnn", "--resume", copy), ("predict", copy, copy / "example-1.png")):
            message = fails(capsys, *command)
            assert f"was changed after training began: {part}.{key} is {value!r}, but the checkpoint was made with" in message
    (copy / "config.json").write_text(json.dumps({**settings, "config": {**settings["config"], "depth": 3}}))
    assert "another version of the recipe" in fails(capsys, "train", "cnn", "--resume", copy)
    (copy / "config.json").write_text("{")
    assert "config.json is damaged" in fails(capsys, "train", "cnn", "--resume", copy)
    assert "holds no run" in fails(capsys, "train", "cnn", "--resume", tmp_path)


def test_one_process_at_a_time(copy: Path, capsys: pytest.CaptureFixture) -> None:
    with open(copy / ".lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        assert "another process is training in it" in fails(capsys, "train", "cnn", "--resume", copy)


@pytest.mark.parametrize(("options", "words"), [
    (("--data", "nothing"), "data 'nothing': no such set and no such folder"),
    (("--epochs", 0), "--epochs must be at least 1, got 0"),
    (("--batch-size", -3), "--batch-size must be at least 1"),
    (("--lr", "nan"), "--lr must be a positive number"),
    (("--lr", 0), "--lr must be a positive number"),
    (("--dtype", "int8"), "--dtype int8: there are float32"),
    (("--device", "tpu"), "--device tpu: this installation has no device 'tpu'"),
    (("--threads", 0), "--threads must be at least 1"),
    (("--threads", 100_000), "--threads 100000: at most 1024 threads"),
    (("--data", ""), "data: the name of a set, csv:FILE or a folder is expected"),
    (("--data", "n" * 300), "nnn: File name too long"),
    (("--kernels", "conv9d=cpu/fast"), "there is no op 'conv9d'"),
    (("--kernels", "conv2d=cpu/magic"), "conv2d has no kernel 'cpu/magic'; there are: "),
])
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture, options: tuple, words: str) -> None:
    assert words in fails(capsys, "train", "cnn", *options, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_kernel_that_cannot_do_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with tg.kernels.use("matmul", None):  # and back, whatever --kernels chose
        words = fails(capsys, *CNN, "--out", tmp_path / "run", "--kernels", "matmul=cpu/numpy")
    assert "matmul on cpu: cpu/numpy was asked for by kernels.use, but cpu/numpy does not compute float32" in words


def test_bad_data_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = idx_folder(tmp_path / "data", {k: v[:-1] for k, v in idx_contents().items()})
    assert "is cut short" in fails(capsys, *CNN, "--data", folder, "--out", tmp_path / "run")
    flat = {k: idx_bytes(np.zeros((60 if "train" in k else 12, 3, 9))) if "images" in k else v for k, v in idx_contents().items()}
    folder = idx_folder(tmp_path / "flat", flat)
    assert "images of 3 x 9 pixels; this network takes square ones" in fails(capsys, *CNN, "--data", folder, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- what it must reach


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_other_precisions(tmp_path: Path, capsys: pytest.CaptureFixture, dtype: str) -> None:
    assert run(capsys, "train", "cnn", "--smoke", "--dtype", dtype, "--out", tmp_path / "run").code == 0
    assert tg.load(tmp_path / "run" / "checkpoint.safetensors")["model"]["features.0.weight"].dtype is getattr(tg, dtype)
    assert run(capsys, "predict", tmp_path / "run", tmp_path / "run" / "example-1.png").code == 0


def test_digits_are_learned(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    began = time.perf_counter()
    assert run(capsys, "train", "cnn", "--out", tmp_path / "run").code == 0
    assert metrics(tmp_path / "run")[-1]["test_acc"] >= 0.97
    assert time.perf_counter() - began < 30


def test_threads_do_not_change_the_result(whole: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        p = process(*CNN, "--out", folder, "--threads", threads)
        assert p.wait(timeout=60) == 0
        assert metrics(folder) == metrics(whole)
        assert same_weights(folder, whole)
