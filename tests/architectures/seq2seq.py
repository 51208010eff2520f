"""Sequence to sequence with additive attention. Bahdanau et al., ICLR 2015."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F


class EncoderRNN(nn.Module):
    def __init__(self, vocab, hidden):
        super().__init__()
        self.embedding, self.gru, self.dropout = nn.Embedding(vocab, hidden), nn.GRU(hidden, hidden, batch_first=True), nn.Dropout(0.1)

    def forward(self, tokens):
        return self.gru(self.dropout(self.embedding(tokens)))


class BahdanauAttention(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.Wa, self.Ua, self.Va = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).unsqueeze(1)
        weights = F.softmax(scores, dim=-1)
        return torch.bmm(weights, keys), weights


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden, vocab):
        super().__init__()
        self.embedding, self.attention = nn.Embedding(vocab, hidden), BahdanauAttention(hidden)
        self.gru, self.out, self.dropout = nn.GRU(2 * hidden, hidden, batch_first=True), nn.Linear(hidden, vocab), nn.Dropout(0.1)

    def forward(self, encoded, hidden, steps):
        token = torch.empty(encoded.size(0), 1, dtype=torch.long, device=encoded.device).fill_(0)
        outputs = []
        for _ in range(steps):
            context, _ = self.attention(hidden.permute(1, 0, 2), encoded)
            out, hidden = self.gru(torch.cat((self.dropout(self.embedding(token)), context), dim=2), hidden)
            out = self.out(out)
            outputs.append(out)
            token = out.topk(1)[1].squeeze(-1).detach()
        return F.log_softmax(torch.cat(outputs, dim=1), dim=-1)


class Seq2Seq(nn.Module):
    def __init__(self, source, target, hidden, steps=10):
        super().__init__()
        self.encoder, self.decoder, self.steps = EncoderRNN(source, hidden), AttnDecoderRNN(hidden, target), steps

    def forward(self, tokens):
        return self.decoder(*self.encoder(tokens), self.steps)


MODELS = {"seq2seq_attention": (functools.partial(Seq2Seq, 4000, 3000, 128), None, "encoder.gru.weight_ih_l0 decoder.attention.Va.bias")}
SMALL = {"seq2seq": (lambda: Seq2Seq(9, 7, 8, 4), ("int", 9, (3, 5)), (3, 4, 7))}
