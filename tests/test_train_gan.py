"""`tensorgrad train gan`: pictures come nearer to real ones, runs resume bit for bit, the judge's figures, the losses of the papers."""
from __future__ import annotations

import io
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import fails, metrics, run
from PIL import Image

import tensorgrad as tg
from tensorgrad.recipes import gan
from tensorgrad.recipes.common import plots
from tensorgrad.recipes.common.display import Display


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the digits."""
    from tensorgrad.cli import main

    folder = tmp_path_factory.mktemp("judge") / "run"
    with pytest.raises(SystemExit):
        main(["train", "cnn", "--epochs", "6", "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def whole(judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    from tensorgrad.cli import main

    folder = tmp_path_factory.mktemp("gan") / "run"
    with pytest.raises(SystemExit):
        main(["train", "gan", "--epochs", "16", "--lr", "0.001", "--judge", str(judge), "--out", str(folder)])
    return folder


def test_it_learns(whole: Path) -> None:
    """The judge finds most digits in pictures of noise, and their features come nearer to those of real ones."""
    lines = metrics(whole)
    assert lines[0].keys() == {"epoch", "train_loss", "train_d_loss", "train_g_loss", "val_classes", "val_sure", "val_frechet"}
    assert lines[-1]["val_classes"] >= 8
    assert lines[-1]["val_frechet"] < 0.35 * lines[0]["val_frechet"]


def test_run_folder(whole: Path) -> None:
    sheets = sorted(whole.glob("sheet-*.png"))
    assert [s.name for s in sheets] == [f"sheet-{n:03}.png" for n in range(17)]
    film = Image.open(whole / "film.gif")
    assert (film.n_frames, film.size) == (17, Image.open(sheets[0]).size)
    assert Image.open(whole / "walk.png").size == film.size
    assert sheets[0].read_bytes() != sheets[16].read_bytes()


def test_interrupted_and_resumed(judge: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    count, original = [0], Display.batch

    def batch(self: Display, *args: Any) -> None:
        original(self, *args)
        count[0] += 1
        if count[0] == 50:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Display, "batch", batch)
    folder = tmp_path / "run"
    fails(capsys, "train", "gan", "--epochs", 16, "--lr", 0.001, "--judge", judge, "--out", folder, code=130)
    assert run(capsys, "train", "gan", "--resume", folder).code == 0
    assert metrics(folder) == metrics(whole)
    first, second = (tg.load(f / "checkpoint.safetensors") for f in (folder, whole))
    assert first["steps"] == second["steps"] == {"steps": 320}
    assert all(tg.equal(first["model"][k], v) for k, v in second["model"].items())
    assert (folder / "film.gif").read_bytes() == (whole / "film.gif").read_bytes()


@pytest.mark.parametrize("options", [("--wasserstein", "--lr", 0.003, "--width", 16, "--batch-size", 32), ("--kind", "mlp", "--lr", 0.001)])
def test_other_kinds_learn(judge: Path, tmp_path: Path, capsys: pytest.CaptureFixture, options: tuple[str, ...]) -> None:
    result = run(capsys, "train", "gan", *options, "--epochs", 12, "--judge", judge, "--out", tmp_path / "run")
    assert result.code == 0, result
    lines = metrics(tmp_path / "run")
    assert lines[-1]["val_frechet"] < 0.6 * lines[0]["val_frechet"]


def task(**options: Any) -> gan.Adversaries:
    tg.manual_seed(0)
    config = gan.Config(width=4, **options)
    return gan.Adversaries(*gan.make_models(8, config), config, None, None)  # type: ignore[arg-type]


def test_losses_are_those_of_the_papers() -> None:
    t, real, fake = task(), tg.rand(6, 1, 8, 8), tg.rand(6, 1, 8, 8)
    for_real, for_fake = (tg.sigmoid(t.discriminator(x)).double() for x in (real, fake))
    expected = -(for_real.log().mean() + (1 - for_fake).log().mean())
    assert math.isclose(t.discriminator_loss(real, fake).item(), expected.item(), rel_tol=1e-5)

    t = task(wasserstein=True)
    state = tg.random.get_rng_state()
    loss = t.critic_loss(real, fake)
    tg.random.set_rng_state(state)
    share = tg.rand(6, 1, 1, 1)
    between, step = share * real + (1 - share) * fake, 1e-2
    slopes = []
    for x in between.double():
        moved = tg.stack([x + step * e.reshape(1, 8, 8) for e in tg.eye(64, dtype=tg.float64)])
        back = tg.stack([x - step * e.reshape(1, 8, 8) for e in tg.eye(64, dtype=tg.float64)])
        critic = t.discriminator.double()
        slopes.append(((critic(moved) - critic(back)) / (2 * step)).norm().item())
    t.discriminator.float()
    penalty = np.mean((np.array(slopes) - 1) ** 2)
    expected = t.discriminator(fake).mean() - t.discriminator(real).mean() + 10 * penalty
    assert math.isclose(loss.item(), expected.item(), rel_tol=1e-3)
    loss.backward()
    assert all(p.grad is not None for p in t.discriminator.parameters())


def test_the_generator_of_a_critic_trains_at_every_fifth_step() -> None:
    t = task(wasserstein=True)
    t.generator.train()
    before, moved = t.generator.main[0].weight.detach().clone(), []
    for _ in range(10):
        t.step((tg.rand(4, 1, 8, 8),))
        moved.append(not tg.equal(t.generator.main[0].weight, before))
        before = t.generator.main[0].weight.detach().clone()
    assert moved == [False] * 4 + [True] + [False] * 4 + [True]


def test_frechet_distance() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4000, 3))
    assert abs(gan.frechet(a, a)) < 1e-9
    assert math.isclose(gan.frechet(a, a + np.array([3, 0, 4])), 25, rel_tol=1e-9)
    wide = a * [2, 1, 1]  # of independent normal numbers: the sum of (difference of deviations)^2
    assert math.isclose(gan.frechet(a, wide), a[:, 0].var(ddof=1), rel_tol=1e-3)
    turned = a @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert math.isclose(gan.frechet(a * [3, 1, 1], turned), gan.frechet(turned, a * [3, 1, 1]), rel_tol=1e-9)


def test_sheets() -> None:
    pictures = np.linspace(0, 1, 10)[:, None, None, None] * np.ones((10, 3, 6, 6))
    image = Image.open(io.BytesIO(plots.sheet(pictures)))
    assert image.size == (64 * 8, 16 * 8)
    a = np.asarray(image)
    assert a.shape == (128, 512, 3)
    assert a[32, 9 * 0 + 32].tolist() == [0, 0, 0]
    assert a[64 + 32, 64 + 32].tolist() == [255, 255, 255]  # the tenth: second row, second column


def test_wrong_settings(judge: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = ("--out", tmp_path / "run")
    assert "--kind vae: there are dcgan and mlp" in fails(capsys, "train", "gan", "--kind", "vae", *out)
    assert "--width must be at least 1" in fails(capsys, "train", "gan", "--width", 0, *out)
    assert "fewer than a --batch-size of 5000" in fails(capsys, "train", "gan", "--batch-size", 5000, *out)
    assert "holds no trained classifier" in fails(capsys, "train", "gan", "--judge", whole, *out)
    assert "holds no run" in fails(capsys, "train", "gan", "--judge", tmp_path, *out)
    run(capsys, "train", "cnn", "--smoke", "--out", tmp_path / "few")
    assert "other data than digits" in fails(capsys, "train", "gan", "--judge", tmp_path / "few", *out)
    assert not (tmp_path / "run").exists()
