"""The Transformer, encoder and decoder. Vaswani et al., "Attention is all you need", 2017 (arXiv:1706.03762).

The encoder reads a sentence, each position looking at all others; the decoder writes another, each position looking at what is written
and at the encoder's output. Sequences are (B, T) numbers of tokens; what is `pad` is looked at by nobody.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import tensorgrad as tg
from tensorgrad import Tensor, nn
from tensorgrad.nn import functional as F

KeysAndValues = tuple[Tensor, Tensor]  # (B, heads, T, width / heads) each


@dataclass
class TransformerConfig:
    """The sizes. The default is the base model of table 3: 6 layers each way, 512 wide, 8 heads, 2048 inside."""

    source_vocabulary: int
    target_vocabulary: int
    layers: int = 6
    heads: int = 8
    width: int = 512
    inside: int = 2048
    dropout: float = 0.1
    longest: int = 512
    pad: int = 0

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"TransformerConfig: a width of {self.width} must be even and divide into {self.heads} heads")


class MultiHeadAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V in each head (equation 1, section 3.2.2): queries of x, keys and values of `memory`."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(config.width, config.width) for _ in range(4))

    def keys_and_values(self, memory: Tensor) -> KeysAndValues:
        return self._split(self.k_proj(memory)), self._split(self.v_proj(memory))

    def forward(self, x: Tensor, keys_and_values: KeysAndValues, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        k, v = keys_and_values
        y = F.scaled_dot_product_attention(self._split(self.q_proj(x)), k, v, mask, self.dropout if self.training else 0.0, causal)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # (B, T, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)  # (B, heads, T, width / heads)


class FeedForward(nn.Module):
    """max(0, x W1 + b1) W2 + b2 (equation 2)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.inside)
        self.fc2 = nn.Linear(config.inside, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(F.relu(self.fc1(x))))


class EncoderLayer(nn.Module):
    """norm(x + attention(x)), then norm(x + feed forward(x))."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.attention, self.feed_forward = MultiHeadAttention(config), FeedForward(config)
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.norm1(x + self.drop(self.attention(x, self.attention.keys_and_values(x), mask)))
        return self.norm2(x + self.drop(self.feed_forward(x)))


class DecoderLayer(nn.Module):
    """As the encoder's, but causal, and with attention to the encoder's output in between."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.attention, self.across, self.feed_forward = MultiHeadAttention(config), MultiHeadAttention(config), FeedForward(config)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(config.width) for _ in range(3))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, memory: KeysAndValues, mask: Tensor, past: KeysAndValues | None = None) -> tuple[Tensor, KeysAndValues]:
        k, v = self.attention.keys_and_values(x)
        if past is not None:
            k, v = tg.cat([past[0], k], 2), tg.cat([past[1], v], 2)
        x = self.norm1(x + self.drop(self.attention(x, (k, v), causal=past is None)))
        x = self.norm2(x + self.drop(self.across(x, memory, mask)))
        return self.norm3(x + self.drop(self.feed_forward(x))), (k, v)


class Transformer(nn.Module):
    """Scores (B, T, target vocabulary) of the next token after each of `target` (B, T), given `source` (B, S)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocabulary, config.width)
        self.target_embedding = nn.Embedding(config.target_vocabulary, config.width)
        self.register_buffer("positions", sinusoids(config.longest, config.width), persistent=False)
        self.drop = nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList([EncoderLayer(config) for _ in range(config.layers)])
        self.decoder = nn.ModuleList([DecoderLayer(config) for _ in range(config.layers)])
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.xavier_uniform_(p)
        for embedding in (self.source_embedding, self.target_embedding):  # of length 1 after the factor of section 3.4
            nn.init.normal_(embedding.weight, std=config.width**-0.5)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = self.mask(source)
        memory = self.encode(source, mask)
        x = self.embed(self.target_embedding, target)
        for layer in self.decoder:
            x, _ = layer(x, layer.across.keys_and_values(memory), mask)
        return self.score(x)

    def mask(self, source: Tensor) -> Tensor:
        """(B, 1, 1, S): where there is something to look at."""
        return source.ne(self.config.pad).reshape(source.shape[0], 1, 1, -1)

    def embed(self, embedding: nn.Module, tokens: Tensor, start: int = 0) -> Tensor:
        """sqrt(width) times the embedding, plus the position (sections 3.4 and 3.5)."""
        end = start + tokens.shape[1]
        if end > self.config.longest:
            raise ValueError(f"Transformer: a sequence of {end} tokens, but at most {self.config.longest} have a position")
        return self.drop(embedding(tokens) * math.sqrt(self.config.width) + self.positions[start:end])

    def encode(self, source: Tensor, mask: Tensor) -> Tensor:
        """The encoder's output (B, S, width)."""
        x = self.embed(self.source_embedding, source)
        for layer in self.encoder:
            x = layer(x, mask)
        return x

    def score(self, x: Tensor) -> Tensor:
        """The last layer shares its weights with the target's embedding (section 3.4)."""
        return F.linear(x, self.target_embedding.weight)

    @tg.no_grad()
    def translate(self, source: Tensor, begin: int, end: int, limit: int, beams: int = 1, penalty: float = 0.6) -> list[list[int]]:
        """For each row of `source` the best sequence found, without `begin` and `end`, at most `limit` tokens long.

        A beam search with `beams` candidates a row (1: greedily), ranked by the sum of log p / ((5 + length) / 6)^penalty (Wu et al.,
        2016, equation 14). What was computed of the tokens written is kept.
        """
        was_training = self.training
        self.eval()
        mask = self.mask(source)
        memory = self.encode(source, mask)
        results = [self._search(memory[i:i + 1], mask[i:i + 1], begin, end, limit, beams, penalty) for i in range(source.shape[0])]
        self.train(was_training)
        return results

    def _search(self, memory: Tensor, mask: Tensor, begin: int, end: int, limit: int, beams: int, penalty: float) -> list[int]:
        written = [([begin], 0.0)]  # the beams: tokens and the sum of log p
        finished: list[tuple[float, list[int]]] = []
        across = [layer.across.keys_and_values(memory) for layer in self.decoder]
        past: list[KeysAndValues | None] = [None] * len(self.decoder)
        for step in range(limit + 1):
            x = self.embed(self.target_embedding, tg.tensor([[tokens[-1]] for tokens, _ in written], device=memory.device), step)
            for i, layer in enumerate(self.decoder):
                k, v = (part.expand(len(written), -1, -1, -1) for part in across[i])
                x, past[i] = layer(x, (k, v), mask, past[i])
            scores = F.log_softmax(self.score(x)[:, -1], 1).topk(min(beams + 1, self.config.target_vocabulary))  # (beams, beams + 1)
            following = [(total + p, row, token) for row, (_, total) in enumerate(written)
                         for p, token in zip(scores.values[row].tolist(), scores.indices[row].tolist(), strict=True)]
            following.sort(reverse=True)
            kept: list[tuple[float, int, int]] = []
            for total, row, token in following[: 2 * beams]:
                if token == end or step == limit:
                    finished.append((total / ((5 + step + 1) / 6) ** penalty, written[row][0][1:]))
                elif len(kept) < beams:
                    kept.append((total, row, token))
            best_ahead = max((total for total, _, _ in kept), default=-math.inf) / ((5 + limit + 1) / 6) ** penalty
            if not kept or (finished and max(finished)[0] >= best_ahead and len(finished) >= beams):
                break
            rows = tg.tensor([row for _, row, _ in kept], device=memory.device)
            past = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in past]  # type: ignore[misc]
            written = [([*written[row][0], token], total) for total, row, token in kept]
        return max(finished)[1]


def sinusoids(length: int, width: int) -> Tensor:
    """PE(t, 2i) = sin(t / 10000^(2i / width)), PE(t, 2i + 1) = cos of the same: (length, width). Section 3.5."""
    frequency = tg.exp(tg.arange(0, width, 2, dtype=tg.float32) * (-math.log(10000.0) / width))
    angle = tg.arange(length, dtype=tg.float32).unsqueeze(1) * frequency  # (length, width / 2)
    return tg.stack([angle.sin(), angle.cos()], 2).reshape(length, width)  # (length, width / 2, 2)
