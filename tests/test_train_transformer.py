"""`tensorgrad train transformer`: pairs, BLEU, the schedule; it learns to write backwards, resumes bit for bit, refuses what cannot be."""
from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import fails, metrics, run, same_weights

import tensorgrad as tg
from tensorgrad.data.pairs import PAD, UNKNOWN, batch_of, bleu, load_pairs, split_words
from tensorgrad.errors import UserError
from tensorgrad.recipes import transformer
from tensorgrad.recipes.common.display import Display


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language whose sentences are said backwards in another, in capitals and with a full stop."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    rng = np.random.default_rng(0)
    words = ["red", "green", "blue", "large", "small", "cat", "dog"]
    rows = {tuple(rng.integers(0, 7, rng.integers(2, 5)).tolist()) for _ in range(1500)}
    lines = [f"{' '.join(words[n] for n in row)}.\t{' '.join('X' + words[n] for n in reversed(row))}!" for row in sorted(rows)]
    path.write_text("\n".join(lines))
    return path


SMALL = ("train", "transformer", "--epochs", 6, "--layers", 1, "--heads", 2, "--width", 32, "--inside", 64, "--warmup", 150,
         "--batch-size", 16)


@pytest.fixture(scope="module")
def whole(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    from tensorgrad.cli import main

    folder = tmp_path_factory.mktemp("transformer") / "run"
    with pytest.raises(SystemExit):
        main([str(a) for a in (*SMALL, "--data", sentences, "--out", folder)])
    return folder


def test_it_learns(whole: Path) -> None:
    lines = metrics(whole)
    assert lines[0].keys() == {"epoch", "train_loss", "val_loss", "val_perplexity", "val_acc"}
    assert lines[5]["val_acc"] > 0.9
    assert math.isclose(lines[5]["val_perplexity"], math.exp(lines[5]["val_loss"]))
    assert lines[6].keys() == {"epoch", "test_exact", "test_bleu", "test_bleu_copy", "test_bleu_frequent"}
    assert lines[6]["test_exact"] > 0.5
    assert lines[6]["test_bleu"] > 0.8 > lines[6]["test_bleu_copy"]
    first = (whole / "translations.txt").read_text().splitlines()[:2]
    assert first[0] == "source | target | written"
    source, target, _ = first[1].split(" | ")
    assert target.split()[:-1] == ["x" + w for w in reversed(source.split()[:-1])]


def test_interrupted_and_resumed(whole: Path, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    count, original = [0], Display.batch

    def batch(self: Display, *args: Any) -> None:
        original(self, *args)
        count[0] += 1
        if count[0] == 100:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Display, "batch", batch)
    folder = tmp_path / "run"
    assert "pairs of the next" in fails(capsys, *SMALL, "--data", sentences, "--out", folder, code=130)
    assert run(capsys, "train", "transformer", "--resume", folder).code == 0
    assert metrics(folder) == metrics(whole)
    assert same_weights(folder, whole)


def test_smoke(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Ten steps: no more than which words there are, ln(11) nats, can be learned in them; an untrained model is at ln(14) and above."""
    result = run(capsys, "train", "transformer", "--smoke", "--warmup", 10, "--out", tmp_path / "run")
    assert result.code == 0, result
    assert metrics(tmp_path / "run")[0]["val_loss"] < 2.6
    assert "of the test sentences exactly, BLEU" in result.out


def test_reversal() -> None:
    pairs = load_pairs("reversal")
    assert [len(p) for p in (pairs.train, pairs.val, pairs.test)] == [20_000, 500, 1000]
    assert all(t == s[::-1] and len(s) == 10 and min(s) >= 4 for s, t in pairs.train)
    assert len({tuple(s) for part in (pairs.train, pairs.val, pairs.test) for s, _ in part}) == 21_500
    assert pairs.fingerprint() == load_pairs("reversal").fingerprint()


def test_pairs_of_a_file(sentences: Path, tmp_path: Path) -> None:
    pairs = load_pairs(str(sentences))
    assert pairs.source_words[:4] == ["<pad>", "<begin>", "<end>", "<unknown>"]
    assert sorted(pairs.source_words[4:]) == sorted([".", "red", "green", "blue", "large", "small", "cat", "dog"])
    assert pairs.longest == 5
    assert not {tuple(s) for s, _ in pairs.train} & {tuple(s) for s, _ in [*pairs.val, *pairs.test]}
    short = load_pairs(str(sentences), longest=3)
    assert short.longest == 3
    assert len(short.train) < len(pairs.train)
    assert split_words("It's ¡Hola!, 3 días") == ["it", "'", "s", "¡", "hola", "!", ",", "3", "días"]
    (tmp_path / "rare.tsv").write_text(sentences.read_text() + "\nhapax dog\tlegomenon\n")
    rare = load_pairs(str(tmp_path / "rare.tsv"))
    assert any(UNKNOWN in s or UNKNOWN in t for part in (rare.train, rare.val, rare.test) for s, t in part)


def test_batches() -> None:
    assert batch_of([[5, 6], [7]], begin=True, end=True).tolist() == [[1, 5, 6, 2], [1, 7, 2, PAD]]
    assert batch_of([[5, 6], [7]]).tolist() == [[5, 6], [7, PAD]]


def test_bleu() -> None:
    a = [1, 2, 3, 4, 5, 6]
    assert bleu([a], [a]) == 1
    assert bleu([a[::-1]], [a]) == 0
    assert math.isclose(bleu([[1, 2, 3, 4, 5]], [a]), math.exp(1 - 6 / 5))  # all right, but too short
    assert math.isclose(bleu([[1, 2, 3, 4, 9, 9]], [a]), math.exp(np.mean(np.log([4 / 6, 3 / 5, 2 / 4, 1 / 3]))))
    assert math.isclose(bleu([[1, 1, 1, 1, 1, 1, 1, 2, 3, 4]], [[1, 2, 3, 4]]), math.exp(np.mean(np.log([4 / 10, 3 / 9, 2 / 8, 1 / 7]))))


def test_the_papers_schedule() -> None:
    rates = [transformer.rate(s, 512, 4000) for s in (1, 2000, 4000, 16_000)]
    assert np.allclose(rates, [512**-0.5 * 4000**-1.5, 512**-0.5 * 2000 * 4000**-1.5, 512**-0.5 * 4000**-0.5, 512**-0.5 / 16_000**0.5])
    p = tg.nn.Parameter(tg.zeros(1))
    schedule = tg.optim.lr_scheduler.LambdaLR(tg.optim.Adam([p], lr=2.0), lambda step: transformer.rate(step + 1, 64, 10))
    assert math.isclose(schedule.get_last_lr()[0], 2 * transformer.rate(1, 64, 10))


def test_wrong_settings(sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = ("--out", tmp_path / "run")
    assert "--width 30 must be even and divide into --heads 4" in fails(capsys, "train", "transformer", "--width", 30, *out)
    assert "--beams must be at least 1" in fails(capsys, "train", "transformer", "--beams", 0, *out)
    assert "--smoothing must be a share below 1" in fails(capsys, "train", "transformer", "--smoothing", 1, *out)
    for content, words in ((b"one\ttwo\nthree", "line 2 has no tab"), (b"a\xff\tb", "byte 1 is 0xff"),
                           (b"a\tb\n" * 5, "too few to learn from")):
        (tmp_path / "bad.tsv").write_bytes(content)
        with pytest.raises(UserError, match=words):
            load_pairs(str(tmp_path / "bad.tsv"))
    assert "expected is reversal, or a text file" in fails(capsys, "train", "transformer", "--data", tmp_path / "none", *out)
    assert not (tmp_path / "run").exists()
