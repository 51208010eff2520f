"""A language model that reads left to right: GPT-2. Radford et al., "Language models are unsupervised multitask learners", 2019.

Names of parameters are those of the published weights, so that `GPT.from_safetensors` takes them as they are.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import tensorgrad as tg
from tensorgrad import Tensor, nn
from tensorgrad.nn import functional as F

KeysAndValues = tuple[Tensor, Tensor]  # of all positions so far, (B, heads, T, width / heads) each


@dataclass
class GPTConfig:
    """The sizes. The default is GPT-2 small: 124,439,808 parameters."""

    vocab_size: int = 50257
    context: int = 1024
    layers: int = 12
    heads: int = 12
    width: int = 768
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"GPTConfig: a width of {self.width} does not divide into {self.heads} heads")


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V over this and all earlier positions. Vaswani et al., 2017, equation 1."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, past: KeysAndValues | None = None) -> tuple[Tensor, KeysAndValues]:
        B, T, C = x.shape
        q, k, v = (part.reshape(B, T, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(C, dim=2))  # (B, heads, T, D)
        mask = None
        if past is not None:
            k, v = tg.cat([past[0], k], 2), tg.cat([past[1], v], 2)  # (B, heads, past + T, D)
            if T > 1:  # each new position sees the past, and the new ones up to itself
                mask = tg.ones(T, k.shape[2], dtype=tg.bool, device=x.device).tril(k.shape[2] - T)
        y = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0, is_causal=past is None)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C)), (k, v)


class MLP(nn.Module):
    """Four times as wide inside, with GELU (its tanh approximation, as the weights were trained with)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.width, 4 * config.width)
        self.c_proj = nn.Linear(4 * config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = MLP(config)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, past: KeysAndValues | None = None) -> tuple[Tensor, KeysAndValues]:
        y, present = self.attn(self.ln_1(x), past)
        x = x + self.drop(y)
        return x + self.drop(self.mlp(self.ln_2(x))), present


class GPT(nn.Module):
    """Scores (B, T, vocabulary) of the next token after each of (B, T) tokens; the last layer's weights are those of the embedding."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.width)
        self.wpe = nn.Embedding(config.context, config.width)
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.ln_f = nn.LayerNorm(config.width)
        for name, p in self.named_parameters():
            if p.ndim == 2:  # what ends in a residual sum is smaller, the more of them there are (section 2.3)
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * config.layers) if name.endswith("c_proj.weight") else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, tokens: Tensor, past: list[KeysAndValues] | None = None) -> Tensor:
        """The scores. `past`, a list that starts empty, keeps each layer's keys and values from call to call: `tokens` are then the new
        ones only."""
        before = list(past) if past else [None] * len(self.h)
        done = before[0][0].shape[2] if before[0] is not None else 0
        T = tokens.shape[1]
        if done + T > self.config.context:
            raise ValueError(f"GPT: {done + T} tokens do not fit into the context of {self.config.context}")
        x = self.drop(self.wte(tokens) + self.wpe(tg.arange(done, done + T, device=tokens.device)))  # (B, T, C)
        now = []
        for block, kept in zip(self.h, before, strict=True):
            x, keys_and_values = block(x, kept)
            now.append(keys_and_values)
        if past is not None:
            past[:] = now
        return F.linear(self.ln_f(x), self.wte.weight)  # (B, T, vocabulary)

    @tg.no_grad()
    def generate(self, tokens: Tensor, count: int, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0,
                 generator: tg.Generator | None = None) -> Tensor:
        """`tokens` (B, T), T >= 1, and `count` more, drawn one by one: (B, T + count).

        Where the context is full, its second half is read again as the beginning of a new one.
        """
        was_training, context = self.training, self.config.context
        self.eval()
        past: list[KeysAndValues] = []
        new = tokens[:, -context:]
        for _ in range(count):
            if past and past[0][0].shape[2] == context:
                past, new = [], tokens[:, -(context // 2):]
            scores = self(new, past)[:, -1]  # (B, vocabulary)
            new = choose(scores, temperature, top_k, top_p, generator)
            tokens = tg.cat([tokens, new], 1)
        self.train(was_training)
        return tokens

    @classmethod
    def from_safetensors(cls, path: str, heads: int | None = None) -> GPT:
        """GPT-2 with published weights, in the layout of Hugging Face's files; the sizes follow from them (heads: of 64 channels)."""
        state = {k.removeprefix("transformer."): v for k, v in tg.load(path).items() if not k.endswith((".attn.bias", ".attn.masked_bias"))}
        state.pop("lm_head.weight", None)  # wte.weight once more
        (vocabulary, width), context = state["wte.weight"].shape, state["wpe.weight"].shape[0]
        layers = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("h."))
        model = cls(GPTConfig(vocabulary, context, layers, heads or width // 64, width))
        model.load_state_dict({k: v.t() if k.endswith((".c_attn.weight", ".c_fc.weight", ".c_proj.weight")) else v  # these lie transposed
                               for k, v in state.items()})
        return model


def choose(scores: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0,
           generator: tg.Generator | None = None) -> Tensor:
    """One token (B, 1) for each row of scores (B, vocabulary), drawn with probabilities softmax(scores / temperature).

    Only the `top_k` likeliest are drawn, and only the fewest that have the probability `top_p` together (the nucleus: Holtzman et al.,
    "The curious case of neural text degeneration", 2020). Temperature 0 takes the likeliest.
    """
    if temperature < 0 or not 0 < top_p <= 1 or (top_k is not None and top_k < 1):
        raise ValueError("choose: temperature must not be negative, top_p in (0, 1] and top_k at least 1; got "
                         f"{temperature}, {top_p} and {top_k}")
    if temperature == 0:
        return scores.argmax(1, keepdim=True)
    scores = scores / temperature
    if top_k is not None and top_k < scores.shape[1]:
        scores = scores.masked_fill(scores < scores.topk(top_k).values[:, -1:], -float("inf"))
    if top_p < 1:
        probabilities, order = scores.softmax(1).sort(1, descending=True)
        beyond = probabilities.cumsum(1) - probabilities >= top_p  # those before it have enough
        scores = scores.masked_fill(tg.zeros_like(beyond).scatter(1, order, beyond), -float("inf"))
    return tg.multinomial(scores.softmax(1), 1, generator=generator)
