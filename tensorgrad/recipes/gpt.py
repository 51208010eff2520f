"""A small GPT that learns to write, letter by letter, like the text it reads.

AdamW, the learning rate warmed up and then lowered along a cosine, gradients clipped. An epoch is 250 steps on random pieces of the
text. By default 4 layers of 4 heads, 128 wide: 0.8 million parameters; `tensorgrad sample` lets it write.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad.data import DataLoader, Dataset, RandomSampler
from tensorgrad.data.text import Text, load_text
from tensorgrad.errors import UserError
from tensorgrad.models.gpt import GPT, GPTConfig
from tensorgrad.nn import functional as F

from .common import plots
from .common.options import Options, option
from .common.run import Run
from .common.trainer import Sums, Task, Trainer

STEPS = 250  # an epoch


@dataclass
class Config(Options):
    """What decides the result."""

    data: str = option("python-docs", "python-docs, or a text file in UTF-8")
    epochs: int | None = option(14, f"rounds of {STEPS} steps")
    batch_size: int | None = option(16, "pieces of text a step")
    lr: float = option(0.002, "peak learning rate")
    weight_decay: float = option(0.1, "AdamW's weight decay")
    layers: int = option(4, "blocks of attention and dense layers")
    heads: int = option(4, "heads of the attention")
    width: int = option(128, "numbers that stand for a letter")
    context: int = option(128, "letters it looks back at")
    dropout: float = option(0.0, "share of activations dropped in training")

    def check(self) -> None:
        """UserError for values that cannot be."""
        super().check()
        for name in ("layers", "heads", "width", "context"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.width % self.heads:
            raise UserError(f"--width {self.width} does not divide into --heads {self.heads}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout must be a share below 1, got {self.dropout}")


class Pieces(Dataset):
    """Item i: the letters from the i-th on, `context` of them, and each one's next."""

    def __init__(self, letters: np.ndarray, context: int):
        self.windows = np.lib.stride_tricks.sliding_window_view(letters, context + 1)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, i: int) -> tuple[tg.Tensor, tg.Tensor]:
        x, y = self.batch([i])
        return x[0], y[0]

    def batch(self, indices: Sequence[int]) -> tuple[tg.Tensor, tg.Tensor]:
        """(N, context) letters, and the next ones."""
        rows = self.windows[np.asarray(indices)]
        return tg.from_numpy(rows[:, :-1].copy()), tg.from_numpy(rows[:, 1:].copy())


class Language(Task):
    """Cross-entropy of the next letter, in nats."""

    unit, clip = "pieces", 1.0

    def __init__(self, model: GPT, optimizer: tg.optim.Optimizer, scheduler: Any, config: Config, text: Text):
        super().__init__(model, optimizer, scheduler)
        self.config = config
        held_out = text.val[: 40 * config.context] if config.smoke else text.val
        whole = [held_out[i:i + config.context + 1] for i in range(0, len(held_out) - 1, config.context)]  # each letter once
        self.validation = [rows for k in range(0, len(whole), 64) if (rows := whole[k:k + 64])]

    def loss(self, batch: tuple[tg.Tensor, tg.Tensor]) -> tuple[tg.Tensor, Sums]:
        x, y = (part.to(device=self.config.device) for part in batch)
        loss = F.cross_entropy(self.model(x).flatten(0, 1), y.flatten())
        return loss, {"loss": loss.item() * len(x), "samples": len(x)}

    @tg.no_grad()
    def validate(self) -> Sums:
        """Nats a letter over the whole of the held-out text, in pieces of the context's length."""
        self.model.eval()
        total, letters = 0.0, 0
        for rows in self.validation:
            for length in sorted({len(r) for r in rows}):
                same = tg.from_numpy(np.stack([r for r in rows if len(r) == length])).to(device=self.config.device)
                total += F.cross_entropy(self.model(same[:, :-1]).flatten(0, 1), same[:, 1:].flatten(), reduction="sum").item()
                letters += same[:, 1:].numel()
        return {"loss": total / letters}


def train(config: Config, run: Run) -> str:
    """Train and fill the run folder; what to say at the end."""
    text = load_text(config.data)
    if len(text.val) <= config.context:
        raise UserError(f"{config.data}: the held-out tenth has {len(text.val)} letters; a --context of {config.context} needs more")
    if config.smoke:
        config.epochs = min(config.epochs or 1, 1)
    epochs, batch_size, steps = config.epochs or 1, config.batch_size or 1, 40 if config.smoke else STEPS
    description: dict[str, Any] = {"name": text.name, "fingerprint": text.fingerprint(), "letters": [len(text.train), len(text.val)],
                                   "alphabet": text.alphabet, "begin": text.alphabet[text.train[0]]}
    tg.manual_seed(config.seed)
    model = make_model({**description, **dataclasses.asdict(config)}).to(device=config.device, dtype=getattr(tg, config.dtype))
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    optimizer = tg.optim.AdamW([{"params": matrices}, {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0}],
                               lr=config.lr, betas=(0.9, 0.95), weight_decay=config.weight_decay)
    scheduler = tg.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=epochs * steps, pct_start=0.1, cycle_momentum=False)
    pieces = Pieces(text.train, config.context)
    sampler = RandomSampler(pieces, replacement=True, num_samples=steps * batch_size, generator=tg.Generator().manual_seed(config.seed))
    run.begin(dataclasses.asdict(config), description, {"tensorgrad": tg.__version__, "numpy": np.__version__})
    trainer = Trainer(run, Language(model, optimizer, scheduler, config, text), epochs)
    last = trainer.fit(DataLoader(pieces, batch_size, sampler=sampler))
    run.write("loss.png", plots.curves(trainer.history, "loss"))
    written = write(model, text.alphabet, description["begin"], 500, tg.Generator().manual_seed(config.seed))
    run.write("sample.txt", written.encode())
    return (f"validation loss {last['val_loss']:.4f} nats a letter   {run.folder}: metrics.jsonl, checkpoint, curve, sample.txt\n"
            f"let it write: tensorgrad sample {run.quoted}")


def make_model(settings: dict[str, Any]) -> GPT:
    """The network for this alphabet and of these sizes."""
    return GPT(GPTConfig(len(settings["alphabet"]), *(settings[k] for k in ("context", "layers", "heads", "width", "dropout"))))


def write(model: GPT, alphabet: str, prompt: str, count: int, generator: tg.Generator | None = None, **options: Any) -> str:
    """The prompt, and `count` more letters; `options` are those of `GPT.generate`."""
    from tensorgrad.data.text import encode

    start = tg.from_numpy(encode(prompt, alphabet)[None]).to(device=model.wte.weight.device)
    letters = model.generate(start, count, generator=generator, **options)
    return "".join(alphabet[n] for n in letters[0].tolist())
