"""A generator of pictures and its adversary: DCGAN, or dense networks (--kind mlp); --wasserstein trains a critic with a gradient penalty.

Adam with betas 0.5 and 0.999, as in the papers. After each epoch a sheet of pictures from the same noise; at the end their film, and a
walk between pictures. A trained classifier of the same data as --judge says how many classes it finds, how sure it is, and how far its
features are from those of real pictures (the Frechet distance).
"""
from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad.data import DataLoader, TensorDataset
from tensorgrad.data.sets import ImageSet, load_images
from tensorgrad.errors import UserError
from tensorgrad.models import gan as models
from tensorgrad.nn import functional as F

from .common import images, plots
from .common.options import Options, option
from .common.run import Run
from .common.trainer import Sums, Task, Trainer

NOISE, SHOWN, JUDGED = 64, 64, 1000  # numbers a picture is made of; pictures on a sheet; pictures a judge sees
PENALTY, CRITIC_STEPS = 10.0, 5  # Gulrajani et al., "Improved training of Wasserstein GANs", 2017, algorithm 1


@dataclass
class Config(Options):
    """What decides the result."""

    data: str = option("digits", "digits, mnist, fashion_mnist, csv:FILE, or a folder with IDX files")
    epochs: int | None = option(None, "passes over the data [default: 10 from 10,000 images on, else 60]")
    batch_size: int | None = option(64, "images a step")
    lr: float = option(0.0002, "learning rate of both networks")
    weight_decay: float = option(0.0, "Adam's weight decay")
    kind: str = option("dcgan", "dcgan, or mlp for dense networks")
    width: int = option(32, "channels of the layers next to the pictures (mlp: eight times as many neurons)")
    wasserstein: bool = option(False, "the critic and the gradient penalty of WGAN-GP")
    judge: str = option("", "folder of a classifier's run on the same data (tensorgrad train cnn), which looks at the pictures")

    def check(self) -> None:
        """UserError for values that cannot be."""
        super().check()
        if self.kind not in ("dcgan", "mlp"):
            raise UserError(f"--kind {self.kind}: there are dcgan and mlp")
        if self.width < 1:
            raise UserError(f"--width must be at least 1, got {self.width}")


class Adversaries(Task):
    """Generator and discriminator, a step each; `loss` is the sum of what both go down."""

    def __init__(self, generator: tg.nn.Module, discriminator: tg.nn.Module, config: Config, run: Run, judge: Judge | None):
        self.generator, self.discriminator, self.config, self.run, self.judge = generator, discriminator, config, run, judge
        betas = (0.0, 0.9) if config.wasserstein else (0.5, 0.999)
        self.g_optimizer, self.d_optimizer = (tg.optim.Adam(net.parameters(), lr=config.lr, betas=betas, weight_decay=config.weight_decay)
                                              for net in (generator, discriminator))
        super().__init__(tg.nn.ModuleDict({"generator": generator, "discriminator": discriminator}), self.g_optimizer, None)
        self.shown = self.noise(SHOWN, tg.Generator().manual_seed(config.seed))
        self.steps = 0

    def noise(self, count: int, generator: tg.Generator | None = None) -> tg.Tensor:
        """(count, NOISE) normal numbers."""
        z = tg.randn(count, NOISE, generator=generator)
        return z.to(device=self.config.device, dtype=getattr(tg, self.config.dtype))

    def step(self, batch: tuple[tg.Tensor]) -> Sums:
        real = batch[0].to(device=self.config.device, dtype=getattr(tg, self.config.dtype))
        self.d_optimizer.zero_grad()
        with tg.no_grad():
            fake = self.generator(self.noise(len(real)))
        d_loss = self.critic_loss(real, fake) if self.config.wasserstein else self.discriminator_loss(real, fake)
        d_value = d_loss.item()
        if not np.isfinite(d_value):
            return {"loss": d_value, "samples": len(real)}
        d_loss.backward()
        self.d_optimizer.step()
        self.steps += 1
        sums = {"d_loss": d_value * len(real), "samples": len(real)}
        if self.config.wasserstein and self.steps % CRITIC_STEPS:
            return {"loss": sums["d_loss"], **sums}
        self.g_optimizer.zero_grad()
        scores = self.discriminator(self.generator(self.noise(len(real))))
        g_loss = -scores.mean() if self.config.wasserstein else F.binary_cross_entropy_with_logits(scores, tg.ones_like(scores))
        g_value = g_loss.item() * len(real)
        if np.isfinite(g_value):
            g_loss.backward()
            self.g_optimizer.step()
        return {"loss": sums["d_loss"] + g_value, **sums, "g_loss": g_value * (CRITIC_STEPS if self.config.wasserstein else 1)}

    def discriminator_loss(self, real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
        """-log D(x) - log(1 - D(G(z))): Goodfellow et al., 2014, algorithm 1."""
        for_real, for_fake = self.discriminator(real), self.discriminator(fake)
        return (F.binary_cross_entropy_with_logits(for_real, tg.ones_like(for_real))
                + F.binary_cross_entropy_with_logits(for_fake, tg.zeros_like(for_fake)))

    def critic_loss(self, real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
        """D(G(z)) - D(x) + 10 (|gradient of D between the two| - 1)^2, which needs second derivatives."""
        share = tg.rand(len(real), 1, 1, 1).to(device=real.device, dtype=real.dtype)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = tg.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        assert slope is not None
        penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
        return self.discriminator(fake).mean() - self.discriminator(real).mean() + PENALTY * penalty

    def validate(self) -> Sums:
        """What the judge says, if there is one."""
        if self.judge is None:
            return {}
        return self.judge.look_at(self.pictures(self.noise(JUDGED, tg.Generator().manual_seed(self.config.seed + 1))))

    def epoch_done(self, epoch: int) -> None:
        self.run.write(f"sheet-{epoch:03}.png", plots.sheet(self.pictures(self.shown)))

    @tg.no_grad()
    def pictures(self, z: tg.Tensor) -> np.ndarray:
        """The generator's pictures (N, channels, H, W), between 0 and 1."""
        self.generator.eval()
        made = np.concatenate([self.generator(z[i:i + 250]).numpy(force=True).astype(np.float32) for i in range(0, len(z), 250)])
        return made * 0.5 + 0.5

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "g_optimizer": self.g_optimizer, "d_optimizer": self.d_optimizer, "steps": self}

    def state_dict(self) -> dict[str, Any]:
        """How many steps were done: the generator trains at every fifth of the critic's."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


class Judge:
    """A trained classifier that looks at pictures. Its features are what its last layer reads."""

    def __init__(self, folder: str, data: ImageSet):
        run = Run.open(folder)
        recipe, state, self.data = importlib.import_module(f"tensorgrad.recipes.{run.recipe}"), run.load(), run.settings["data"]
        if state is None or not hasattr(recipe, "normalise"):
            raise UserError(f"--judge {folder}: holds no trained classifier of images")
        if self.data["fingerprint"] != data.fingerprint():
            raise UserError(f"--judge {folder}: learned on {self.data['name']}, other data than {data.name}")
        self.model = recipe.make_model(self.data)
        self.model.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in state["model"].items()})
        self.model.eval()
        self.read: list[tg.Tensor] = []
        last = [m for m in self.model.modules() if isinstance(m, tg.nn.Linear)][-1]
        last.register_forward_pre_hook(lambda _, inputs: self.read.append(inputs[0]))
        self.real = self.features(data.test[0][:, None] / data.top)[0]

    @tg.no_grad()
    def features(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(features (N, F), probabilities (N, classes)) of pictures (N, 1, H, W) between 0 and 1."""
        self.read.clear()
        x = tg.from_numpy(pictures[:, 0].astype(np.float32))
        scores = [self.model(images.normalise(x[i:i + 500], {**self.data, "top": 1.0})) for i in range(0, len(x), 500)]
        return tg.cat(self.read).numpy().astype(np.float64), F.softmax(tg.cat(scores), 1).numpy()

    def look_at(self, pictures: np.ndarray) -> Sums:
        """How many classes there are, how sure the judge is on average, and the Frechet distance to real pictures."""
        features, p = self.features(pictures)
        return {"classes": float(len(np.unique(p.argmax(1)))), "sure": float(p.max(1).mean()), "frechet": frechet(features, self.real)}


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), A and B the covariances: the distance of two normal distributions. Heusel et al.,
    "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017, equation 6."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * middle)


def train(config: Config, run: Run) -> str:
    """Train and fill the run folder; what to say at the end."""
    data = load_images(config.data)
    height, width = data.size
    if height != width:
        raise UserError(f"{data.name}: images of {height} x {width} pixels; this network makes square ones")
    real = data.train[0][:256] if config.smoke else data.train[0]
    config.epochs = config.epochs or (1 if config.smoke else 10 if len(real) >= 10_000 else 60)
    description = {"name": data.name, "fingerprint": data.fingerprint(), "size": list(data.size), "top": data.top}
    judge = Judge(config.judge, data) if config.judge else None
    tg.manual_seed(config.seed)
    generator, discriminator = (net.to(device=config.device, dtype=getattr(tg, config.dtype)) for net in make_models(height, config))
    task = Adversaries(generator, discriminator, config, run, judge)
    before = task.validate()
    x = tg.from_numpy((real[:, None] * (2 / data.top) - 1).astype(np.float32))  # (N, 1, H, W) between -1 and 1
    loader = DataLoader(TensorDataset(x), config.batch_size, shuffle=True, drop_last=True,
                        generator=tg.Generator().manual_seed(config.seed))
    if not len(loader):
        raise UserError(f"{data.name}: {len(real)} images are fewer than a --batch-size of {config.batch_size}")
    run.begin(dataclasses.asdict(config), {**description, "before": before}, {"tensorgrad": tg.__version__, "numpy": np.__version__})
    task.epoch_done(0)
    last = Trainer(run, task, config.epochs).fit(loader)
    run.write("film.gif", plots.film([(run.folder / f"sheet-{n:03}.png").read_bytes() for n in range(config.epochs + 1)]))
    ends, share = task.shown[:16].reshape(8, 2, 1, NOISE), tg.linspace(0, 1, 8).reshape(1, 8, 1).to(task.shown)
    walk = ends[:, 0] * (1 - share) + ends[:, 1] * share  # (8, 8, NOISE): from one picture to another in each row
    run.write("walk.png", plots.sheet(task.pictures(walk.reshape(64, NOISE))))
    seen = "" if judge is None else (f"the judge finds {last['val_classes']:.0f} classes, {last['val_sure']:.1%} sure; Frechet distance "
                                     f"{last['val_frechet']:.2f}, {before['frechet']:.2f} before training\n")
    return f"{seen}{run.folder}: metrics.jsonl, checkpoint, a sheet for each epoch, film.gif, walk.png"


def make_models(size: int, config: Config) -> tuple[tg.nn.Module, tg.nn.Module]:
    """Generator and discriminator for grey pictures of this size."""
    if config.kind == "mlp":
        return models.MLPGenerator(NOISE, size, 1, 8 * config.width), models.MLPDiscriminator(size, 1, 8 * config.width)
    try:
        return models.Generator(NOISE, size, 1, config.width), models.Discriminator(size, 1, config.width, norm=not config.wasserstein)
    except ValueError as e:
        raise UserError(str(e)) from None
