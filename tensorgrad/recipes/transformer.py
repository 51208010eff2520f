"""The Transformer of 2017, which learns to translate: ten digits into their reverse, or one language into another (--data FILE.tsv).

As in the paper: Adam with betas 0.9 and 0.98, the rate warmed up and then lowered with the root of the steps, labels smoothed by 0.1.
At the end the test sentences are translated greedily (--beams for a beam search) and compared with a copy of the source and with one
sentence for all.
"""
from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tensorgrad as tg
from tensorgrad.data import DataLoader, Dataset
from tensorgrad.data.pairs import BEGIN, END, PAD, Pair, Pairs, batch_of, bleu, load_pairs
from tensorgrad.errors import UserError
from tensorgrad.models.transformer import Transformer, TransformerConfig
from tensorgrad.nn import functional as F

from .common import plots
from .common.options import Options, option
from .common.run import Run
from .common.trainer import Sums, Task, Trainer


@dataclass
class Config(Options):
    """What decides the result."""

    data: str = option("reversal", "reversal, or a text file with a source and a target on each line, a tab between")
    epochs: int | None = option(5, "passes over the data")
    batch_size: int | None = option(64, "pairs a step")
    lr: float = option(0.5, "factor of the paper's learning rate")
    weight_decay: float = option(0.0, "Adam's weight decay")
    warmup: int = option(800, "steps until the learning rate is at its highest")
    smoothing: float = option(0.1, "share of a label that is spread over all words")
    layers: int = option(2, "layers of the encoder and of the decoder")
    heads: int = option(4, "heads of the attention")
    width: int = option(64, "numbers that stand for a word")
    inside: int = option(256, "width of the dense layers inside")
    dropout: float = option(0.0, "share of activations dropped in training")
    beams: int = option(1, "candidates of the search when translating")
    longest: int = option(40, "pairs with more words a side are left out")

    def check(self) -> None:
        """UserError for values that cannot be."""
        super().check()
        for name in ("warmup", "layers", "heads", "width", "inside", "beams", "longest"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.width % self.heads or self.width % 2:
            raise UserError(f"--width {self.width} must be even and divide into --heads {self.heads}")
        for name in ("dropout", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} must be a share below 1, got {getattr(self, name)}")


class Sentences(Dataset):
    """Items are pairs; a batch is (sources (N, S), targets (N, T)) with padding, targets with their beginning and end."""

    def __init__(self, pairs: Sequence[Pair]):
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Pair:
        return self.pairs[i]

    def batch(self, indices: Sequence[int]) -> tuple[tg.Tensor, tg.Tensor]:
        sources, targets = zip(*[self.pairs[i] for i in indices], strict=True)
        return tg.from_numpy(batch_of(sources)), tg.from_numpy(batch_of(targets, begin=True, end=True))


class Translation(Task):
    """Cross-entropy of the next word, of all words written before being the right ones; `acc` is the share of right words."""

    unit = "pairs"

    def __init__(self, model: Transformer, optimizer: tg.optim.Optimizer, scheduler: Any, config: Config, pairs: Pairs):
        super().__init__(model, optimizer, scheduler)
        self.config, self.pairs = config, pairs
        self.translations: list[list[int]] = []  # of the test sentences

    def scores(self, batch: tuple[tg.Tensor, tg.Tensor]) -> tuple[tg.Tensor, tg.Tensor]:
        """(words, vocabulary) and the words (words,), those of the padding PAD."""
        source, target = (part.to(device=self.config.device) for part in batch)
        return self.model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()

    def loss(self, batch: tuple[tg.Tensor, tg.Tensor]) -> tuple[tg.Tensor, Sums]:
        scores, wanted = self.scores(batch)
        loss = F.cross_entropy(scores, wanted, ignore_index=PAD, label_smoothing=self.config.smoothing)
        return loss, {"loss": loss.item() * len(batch[0]), "samples": len(batch[0])}

    @tg.no_grad()
    def validate(self) -> Sums:
        """Nats a word (without smoothing), the perplexity exp(nats), and the share of words that are right."""
        self.model.eval()
        nats, right, words = 0.0, 0, 0
        for batch in DataLoader(Sentences(self.pairs.val), 100):
            scores, wanted = self.scores(batch)
            nats += F.cross_entropy(scores, wanted, ignore_index=PAD, reduction="sum").item()
            a, b = scores.argmax(1).numpy(force=True), wanted.numpy(force=True)
            right, words = right + int((a == b)[b != PAD].sum()), words + int((b != PAD).sum())
        return {"loss": nats / words, "perplexity": float(np.exp(nats / words)), "acc": right / words}

    def test(self) -> Sums:
        """Sentences that are translated exactly, BLEU, and BLEU of doing nothing: copying, and one sentence for all."""
        held_out = self.pairs.test[:20] if self.config.smoke else self.pairs.test
        sources, wanted = [s for s, _ in held_out], [t for _, t in held_out]
        self.translations = []
        for i in range(0, len(sources), 100):
            x = tg.from_numpy(batch_of(sources[i:i + 100])).to(device=self.config.device)
            self.translations += self.model.translate(x, BEGIN, END, self.limit, self.config.beams)
        frequent = Counter(tuple(t) for _, t in self.pairs.train).most_common(1)[0][0]
        known = {word: n for n, word in enumerate(self.pairs.target_words)}
        copies = [[known.get(self.pairs.source_words[n], -1) for n in s] for s in sources]
        exact = sum(a == b for a, b in zip(self.translations, wanted, strict=True)) / len(wanted)
        return {"exact": exact, "bleu": bleu(self.translations, wanted), "bleu_copy": bleu(copies, wanted),
                "bleu_frequent": bleu([frequent] * len(wanted), wanted)}

    @property
    def limit(self) -> int:
        """The most words to write."""
        return self.model.config.longest - 1


def train(config: Config, run: Run) -> str:
    """Train, test, and fill the run folder; what to say at the end."""
    pairs = load_pairs(config.data, config.longest)
    if config.smoke:
        pairs = dataclasses.replace(pairs, train=pairs.train[:640], val=pairs.val[:50])
        config.epochs = min(config.epochs or 1, 1)
    description: dict[str, Any] = {
        "name": pairs.name, "fingerprint": pairs.fingerprint(), "pairs": [len(p) for p in (pairs.train, pairs.val, pairs.test)],
        "source_words": pairs.source_words, "target_words": pairs.target_words, "longest_pair": pairs.longest}
    tg.manual_seed(config.seed)
    model = make_model({**description, **dataclasses.asdict(config)}).to(device=config.device, dtype=getattr(tg, config.dtype))
    optimizer = tg.optim.Adam(model.parameters(), lr=config.lr, betas=(0.9, 0.98), eps=1e-9, weight_decay=config.weight_decay)
    scheduler = tg.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step + 1, config.width, config.warmup))
    loader = DataLoader(Sentences(pairs.train), config.batch_size, shuffle=True, generator=tg.Generator().manual_seed(config.seed))
    run.begin(dataclasses.asdict(config), description, {"tensorgrad": tg.__version__, "numpy": np.__version__})
    task = Translation(model, optimizer, scheduler, config, pairs)
    trainer = Trainer(run, task, config.epochs or 1)
    last = trainer.fit(loader)
    run.write("loss.png", plots.curves(trainer.history, "loss"))
    if task.translations:
        lines = [" | ".join(" ".join(words[n] for n in s) for words, s in ((pairs.source_words, source), (pairs.target_words, target),
                                                                            (pairs.target_words, written)))
                 for (source, target), written in zip(pairs.test, task.translations, strict=False)]
        run.write("translations.txt", "\n".join(["source | target | written", *lines, ""]).encode())
    return (f"{last['test_exact']:.2%} of the test sentences exactly, BLEU {last['test_bleu']:.4f} (a copy of the source "
            f"{last['test_bleu_copy']:.4f}, the most frequent sentence {last['test_bleu_frequent']:.4f})\n"
            f"{run.folder}: metrics.jsonl, checkpoint, curve, translations.txt")


def rate(step: int, width: int, warmup: int) -> float:
    """width^-0.5 min(step^-0.5, step warmup^-1.5): equation 3 of the paper."""
    return width**-0.5 * min(step**-0.5, step * warmup**-1.5)


def make_model(settings: dict[str, Any]) -> Transformer:
    """The network for these vocabularies and of these sizes."""
    sizes = {k: settings[k] for k in ("layers", "heads", "width", "inside", "dropout")}
    return Transformer(TransformerConfig(len(settings["source_words"]), len(settings["target_words"]), longest=settings["longest_pair"] + 2,
                                         pad=PAD, **sizes))
