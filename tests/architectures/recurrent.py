"""Small recurrent models: characters, tags, sentiment of packed sentences, a word language model, an image captioner's decoder."""
from __future__ import annotations

import functools

import tensorgrad as torch
import tensorgrad.nn as nn
import tensorgrad.nn.functional as F
from tensorgrad.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class CharRNN(nn.Module):
    """Elman's network by hand, a character at a time."""

    def __init__(self, letters=57, hidden=128, classes=18):
        super().__init__()
        self.hidden_size = hidden
        self.i2h = nn.Linear(letters + hidden, hidden)
        self.h2o = nn.Linear(hidden, classes)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, x):  # (T, N, letters)
        hidden = torch.zeros(x.size(1), self.hidden_size)
        for letter in x:
            hidden = torch.tanh(self.i2h(torch.cat((letter, hidden), 1)))
        return self.softmax(self.h2o(hidden))


class LSTMTagger(nn.Module):
    def __init__(self, vocab, embedding, hidden, tags):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, embedding)
        self.lstm = nn.LSTM(embedding, hidden)
        self.hidden2tag = nn.Linear(hidden, tags)

    def forward(self, sentence):  # (T,)
        embeds = self.word_embeddings(sentence)
        lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
        return F.log_softmax(self.hidden2tag(lstm_out.view(len(sentence), -1)), dim=1)


class Sentiment(nn.Module):
    """A bidirectional LSTM over packed sentences; 0 is padding."""

    def __init__(self, vocab, embedding, hidden, classes=2):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding, padding_idx=0)
        self.rnn = nn.LSTM(embedding, hidden, num_layers=2, bidirectional=True)
        self.fc = nn.Linear(hidden * 2, classes)

    def forward(self, text):  # (T, N)
        lengths = (text != 0).sum(0).clamp(min=1)
        packed = pack_padded_sequence(self.embedding(text), lengths.cpu(), enforce_sorted=False)
        out, (hidden, _) = self.rnn(packed)
        out, _ = pad_packed_sequence(out)
        return self.fc(torch.cat((hidden[-2], hidden[-1]), dim=1)) + out.mean()


class RNNModel(nn.Module):
    """A word language model whose encoder and decoder share their weights."""

    def __init__(self, kind, vocab, dim, layers, tie_weights=True):
        super().__init__()
        self.drop, self.encoder = nn.Dropout(0.5), nn.Embedding(vocab, dim)
        self.rnn = getattr(nn, kind)(dim, dim, layers, dropout=0.5)
        self.decoder = nn.Linear(dim, vocab)
        if tie_weights:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens):
        output, _ = self.rnn(self.drop(self.encoder(tokens)))
        return F.log_softmax(self.decoder(self.drop(output)).view(-1, self.decoder.out_features), dim=1)


class Sines(nn.Module):
    """Two LSTM cells that go on predicting."""

    def __init__(self, hidden=51):
        super().__init__()
        self.lstm1, self.lstm2, self.linear = nn.LSTMCell(1, hidden), nn.LSTMCell(hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, input, future=2):  # (N, T)
        outputs, n = [], input.size(0)
        h_t, c_t, h_t2, c_t2 = (torch.zeros(n, self.lstm1.hidden_size, dtype=input.dtype) for _ in range(4))
        for step in [*input.split(1, dim=1), *[None] * future]:
            h_t, c_t = self.lstm1(outputs[-1] if step is None else step, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            outputs += [self.linear(h_t2)]
        return torch.cat(outputs, dim=1)


MODELS = {"char_rnn": (CharRNN, (57 + 128 + 1) * 128 + 129 * 18, "i2h.weight h2o.bias"),
          "lstm_tagger": (functools.partial(LSTMTagger, 9, 6, 6, 3), 9 * 6 + 4 * 6 * (6 + 6 + 2) + 7 * 3,
                          "lstm.weight_hh_l0 hidden2tag.bias"),
          "sentiment": (functools.partial(Sentiment, 25_002, 100, 256), None, "embedding.weight rnn.weight_ih_l1_reverse fc.bias"),
          "word_language_model": (functools.partial(RNNModel, "LSTM", 33_278, 200, 2), 33_278 * 201 + 2 * 4 * 200 * (200 + 200 + 2),
                                  "encoder.weight rnn.bias_hh_l1 decoder.weight"),
          "sines": (Sines, None, "lstm1.weight_ih lstm2.bias_hh linear.weight")}
SMALL = {"char_rnn": (functools.partial(CharRNN, 5, 6, 3), (4, 3, 5), (3, 3)),
         "tagger": (functools.partial(LSTMTagger, 9, 6, 6, 3), ("int", 9, (7,)), (7, 3)),
         "sentiment": (functools.partial(Sentiment, 6, 4, 3), ("int", 6, (5, 4)), (4, 2)),
         "language_model": (functools.partial(RNNModel, "GRU", 7, 5, 2), ("int", 7, (4, 3)), (12, 7)),
         "sines": (functools.partial(Sines, 5), (3, 4), (3, 6))}
