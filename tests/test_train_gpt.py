"""`tensorgrad train gpt` and `tensorgrad sample`: it learns, resumes bit for bit, and writes; the text it reads; wrong input."""
from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import fails, metrics, run, same_weights

import tensorgrad as tg
from tensorgrad.data.text import encode, load_text
from tensorgrad.errors import UserError
from tensorgrad.models.gpt import GPT, GPTConfig
from tensorgrad.recipes import gpt
from tensorgrad.recipes.common.display import Display

SMALL = ("train", "gpt", "--epochs", 2, "--layers", 1, "--heads", 2, "--width", 16, "--context", 8, "--batch-size", 4, "--lr", 0.01)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text with rules: "abcabc..." with a number of three digits after each tenth letter."""
    path = tmp_path_factory.mktemp("text") / "letters.txt"
    rng = np.random.default_rng(0)
    path.write_text("".join("abcabcabca" + "".join(map(str, rng.integers(0, 10, 3))) for _ in range(300)))
    return path


@pytest.fixture(scope="module")
def whole(letters: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    from tensorgrad.cli import main

    folder = tmp_path_factory.mktemp("gpt") / "run"
    with pytest.raises(SystemExit):
        main([str(a) for a in (*SMALL, "--data", letters, "--out", folder)])
    return folder


def test_it_learns(whole: Path) -> None:
    """Of 13 letters 3 are random digits and the others follow: 3 ln(10) / 13 = 0.53 nats a letter is the best there is, ln(13) a guess."""
    lines = metrics(whole)
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[0].keys() == {"epoch", "train_loss", "val_loss"}
    assert 3 * math.log(10) / 13 < lines[1]["val_loss"] < 0.9
    assert lines[1]["train_loss"] < lines[0]["train_loss"]
    assert (whole / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert len((whole / "sample.txt").read_text()) == 501
    settings = json.loads((whole / "config.json").read_text())
    assert settings["config"]["width"] == 16
    assert settings["data"]["alphabet"] == "0123456789abc"


def test_the_smoke_run_learns(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Forty steps: from ln(103) = 4.6 nats to what the mere frequencies of letters give, about 3.2."""
    result = run(capsys, "train", "gpt", "--smoke", "--layers", 2, "--width", 64, "--context", 32, "--out", tmp_path / "run")
    assert result.code == 0, result
    assert metrics(tmp_path / "run")[0]["val_loss"] < 3.4
    assert "let it write: tensorgrad sample" in result.out


def test_interrupted_and_resumed(whole: Path, letters: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    count, original = [0], Display.batch

    def batch(self: Display, *args: Any) -> None:
        original(self, *args)
        count[0] += 1
        if count[0] == 301:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Display, "batch", batch)
    folder = tmp_path / "run"
    assert "1 of 2 epochs and 204 pieces of the next" in fails(capsys, *SMALL, "--data", letters, "--out", folder, code=130)
    assert run(capsys, "train", "gpt", "--resume", folder).code == 0
    assert metrics(folder) == metrics(whole)
    assert same_weights(folder, whole)


def test_sample(whole: Path, capsys: pytest.CaptureFixture) -> None:
    first, second, third = (run(capsys, "sample", whole, "--prompt", "abc", "--count", 30, "--seed", seed).out for seed in (1, 1, 2))
    assert first == second != third
    assert first.startswith("abc")
    assert len(first) == 34
    likeliest = run(capsys, "sample", whole, "--prompt", "7abcab", "--count", 4, "--temperature", 0).out
    assert likeliest == "7abcabcabc\n"
    assert run(capsys, "sample", whole, "--prompt", "a", "--count", 5, "--top-k", 2, "--top-p", 0.5).code == 0


def test_validation_reads_every_letter_once(letters: Path) -> None:
    text = load_text(str(letters))
    config = gpt.Config(data=str(letters), context=8, layers=1, heads=1, width=8)
    model = GPT(GPTConfig(len(text.alphabet), 8, 1, 1, 8))
    task = gpt.Language(model, tg.optim.SGD(model.parameters(), lr=1), None, config, text)
    by_hand = 0.0
    for i in range(0, len(text.val) - 1, 8):
        piece = tg.from_numpy(text.val[None, i:i + 9])
        by_hand += tg.nn.functional.cross_entropy(model(piece[:, :-1])[0], piece[0, 1:], reduction="sum").item()
    assert math.isclose(task.validate()["loss"], by_hand / (len(text.val) - 1), rel_tol=1e-5)


def test_texts(letters: Path, tmp_path: Path) -> None:
    text = load_text(str(letters))
    assert text.decode(np.concatenate([text.train, text.val])) == letters.read_text()
    assert len(text.train) == 3510
    docs = load_text("python-docs")
    assert len(docs.train) + len(docs.val) > 300_000
    assert docs.fingerprint() == load_text("python-docs").fingerprint() != text.fingerprint()
    with pytest.raises(UserError, match="'xz' are not in the text"):
        encode("xaz", text.alphabet)
    (tmp_path / "few").write_text("abc" * 10)
    (tmp_path / "bytes").write_bytes(b"ab\xff" * 1000)
    for name, words in (("few", "30 letters, 3 different ones"), ("bytes", "byte 2 is 0xff"), ("none", "No such file"), (".", "directory")):
        with pytest.raises(UserError, match=words):
            load_text(str(tmp_path / name))


def test_wrong_settings(letters: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = ("--out", tmp_path / "run")
    assert "--width 16 does not divide into --heads 3" in fails(capsys, "train", "gpt", "--width", 16, "--heads", 3, *out)
    assert "--dropout must be a share below 1" in fails(capsys, "train", "gpt", "--dropout", 1, *out)
    assert "--layers must be at least 1" in fails(capsys, "train", "gpt", "--layers", 0, *out)
    assert "a --context of 500 needs more" in fails(capsys, "train", "gpt", "--data", letters, "--context", 500, *out)
    assert "the letters 'x' are not in the text" in fails(capsys, "sample", whole, "--prompt", "x")
    assert "--top-p in (0, 1]" in fails(capsys, "sample", whole, "--top-p", 2)
    assert "does not classify images" in fails(capsys, "predict", whole, "a.png")
    assert "holds no run" in fails(capsys, "sample", tmp_path)
    assert not (tmp_path / "run").exists()
    run(capsys, "train", "mlp", "--smoke", "--out", tmp_path / "mlp")
    assert "which does not write" in fails(capsys, "sample", tmp_path / "mlp")


def test_mlp(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The dense network on the digits: above 96% of the held-out ones after eight passes, and it classifies what it kept of them."""
    assert run(capsys, "train", "mlp", "--epochs", 8, "--out", tmp_path / "run").code == 0
    assert metrics(tmp_path / "run")[-1]["test_acc"] > 0.96
    rows = json.loads(run(capsys, "predict", tmp_path / "run", *sorted(tmp_path.glob("run/example-*.png")), "--json").out)
    assert sum(row["class"] == str(k) for k, row in enumerate(rows)) >= 9
