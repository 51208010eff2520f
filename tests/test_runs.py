"""`tensorgrad runs`: what it lists, and what it says about folders that are none."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import fails, metrics, run


def test_runs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, options in (("a", ("mlp", "--lr", 0.002)), ("b", ("cnn",)), ("c", ("mlp", "--seed", 3))):
        assert run(capsys, "train", *options, "--smoke", "--out", tmp_path / name).code == 0
    rows = json.loads(run(capsys, "runs", tmp_path, "--json").out)
    assert [Path(row["run"]).name for row in rows] == ["a", "b", "c"]
    assert [row["recipe"] for row in rows] == ["mlp", "cnn", "mlp"]
    assert rows[1]["last"]["test_acc"] == metrics(tmp_path / "b")[-1]["test_acc"]
    shown = run(capsys, "runs", tmp_path).out
    assert all(words in shown for words in ("recipe", "lr", "seed", "0.002", "1 of 1", "val_acc", "test_acc"))
    assert "weight_decay" not in shown  # the same in all
    alone = run(capsys, "runs", tmp_path / "a").out
    assert "seed" not in alone
    assert "mlp" in alone


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tensorgrad train makes one" in fails(capsys, "runs", tmp_path)
    assert "no such folder" in fails(capsys, "runs", tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    assert "runs: no such folder" in fails(capsys, "runs")
    run(capsys, "train", "mlp", "--smoke", "--out", tmp_path / "a")
    (tmp_path / "a" / "metrics.jsonl").write_text("{")
    assert "metrics.jsonl is damaged" in fails(capsys, "runs", tmp_path)
