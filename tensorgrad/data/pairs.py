"""Pairs of sequences to translate from one to the other: a puzzle that needs no files, or sentences of the user's, a pair on each line.

A sequence is a list of numbers of words; the vocabularies begin with the padding, the beginning, the end and the unknown word.
"""
from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError

PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = ["<pad>", "<begin>", "<end>", "<unknown>"]
Pair = tuple[list[int], list[int]]


@dataclass
class Pairs:
    """Pairs in three parts that share no source, and the words their numbers stand for."""

    name: str
    source_words: list[str]
    target_words: list[str]
    train: list[Pair]
    val: list[Pair]
    test: list[Pair]

    def fingerprint(self) -> str:
        """A hash of everything, by which a resumed run knows its data again."""
        return hashlib.blake2b(json.dumps([self.source_words, self.target_words, self.train, self.val, self.test]).encode(),
                               digest_size=16).hexdigest()

    @property
    def longest(self) -> int:
        """The most words of a sequence."""
        return max(len(s) for part in (self.train, self.val, self.test) for pair in part for s in pair)


def load_pairs(spec: str, longest: int = 40) -> Pairs:
    """`reversal`, ten digits to be written backwards, or a text file in UTF-8 with a source and a target on each line, a tab between them;
    pairs of more than `longest` words a side are left out."""
    return _reversal() if spec == "reversal" else _from_file(spec, longest)


def _reversal(length: int = 10, symbols: int = 10) -> Pairs:
    """20,000 sequences, 500 to watch and 1,000 for the test; all different."""
    rows = np.unique(np.random.default_rng(0).integers(0, symbols, (22_000, length)), axis=0)
    rows = np.random.default_rng(1).permutation(rows)[:21_500] + len(SPECIAL)
    pairs: list[Pair] = [(row.tolist(), row[::-1].tolist()) for row in rows]
    words = [*SPECIAL, *map(str, range(symbols))]
    return Pairs("reversal", words, words, pairs[1500:], pairs[:500], pairs[500:1500])


def split_words(sentence: str) -> list[str]:
    """Words in lower case, and punctuation marks one by one."""
    return re.findall(r"\w+|[^\w\s]", sentence.lower())


def _from_file(file: str, longest: int) -> Pairs:
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except UnicodeDecodeError as e:
        raise UserError(f"{file}: is not a text in UTF-8: byte {e.start} is {e.object[e.start]:#04x}") from None
    except OSError as e:
        raise UserError(f"data {file!r}: {e.strerror}; expected is reversal, or a text file with a pair a line, a tab between") from None
    rows = []
    for number, line in enumerate(lines, 1):
        parts = line.split("\t")
        if len(parts) < 2:
            raise UserError(f"{file}: line {number} has no tab; a source, a tab and a target are expected")
        row = split_words(parts[0]), split_words(parts[1])
        if 0 < len(row[0]) <= longest and 0 < len(row[1]) <= longest:
            rows.append(row)
    by_part: list[list[tuple[list[str], list[str]]]] = [[], [], []]
    for row in rows:  # by the source alone: of one sentence all translations are in the same part
        key = zlib.crc32(" ".join(row[0]).encode()) % 20
        by_part[0 if key > 1 else 1 + key].append(row)
    if not all(by_part):
        raise UserError(f"{file}: has {len(rows)} pairs of at most {longest} words; there are too few to learn from and to hold some out")
    vocabularies = [_vocabulary([row[side] for row in by_part[0]]) for side in (0, 1)]
    places = [{word: n for n, word in enumerate(words)} for words in vocabularies]
    parts3 = [[tuple([places[side].get(w, UNKNOWN) for w in row[side]] for side in (0, 1)) for row in part] for part in by_part]
    return Pairs(file, *vocabularies, *parts3)  # type: ignore[arg-type]


def _vocabulary(sentences: Sequence[Sequence[str]], least: int = 2) -> list[str]:
    """The words that occur `least` times at least, the most frequent first."""
    counts = Counter(word for sentence in sentences for word in sentence)
    return [*SPECIAL, *(word for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= least)]


def batch_of(sequences: Sequence[Sequence[int]], begin: bool = False, end: bool = False) -> np.ndarray:
    """(N, T) int64: the sequences with padding behind, and what marks their beginning and end."""
    rows = [[*([BEGIN] if begin else []), *s, *([END] if end else [])] for s in sequences]
    out = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for i, row in enumerate(rows):
        out[i, :len(row)] = row
    return out


def bleu(written: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]) -> float:
    """exp(min(0, 1 - r / c) + mean of log p_n, n = 1 to 4): p_n the share of n-grams written that are wanted, c and r the lengths of all
    that is written and wanted. 0 where an n has no match. Papineni et al., "BLEU", 2002."""
    logs = []
    for n in range(1, 5):
        match = total = 0
        for a, b in zip(written, wanted, strict=True):
            first, second = (Counter(tuple(s[i:i + n]) for i in range(len(s) - n + 1)) for s in (a, b))
            match += sum((first & second).values())
            total += sum(first.values())
        if match == 0:
            return 0.0
        logs.append(np.log(match / total))
    c, r = sum(map(len, written)), sum(map(len, wanted))
    return float(np.exp(min(0.0, 1 - r / c) + np.mean(logs)))
