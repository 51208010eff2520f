"""Text to read letter by letter: the documentation that comes with Python, or a file of the user's.

The first nine tenths are to train on, the rest is held out.
"""
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError


@dataclass
class Text:
    """Letters as numbers: `alphabet[n]` is letter n."""

    name: str
    alphabet: str
    train: np.ndarray  # int64
    val: np.ndarray

    def fingerprint(self) -> str:
        """A hash of all letters, by which a resumed run knows its data again."""
        return hashlib.blake2b(self.decode(np.concatenate([self.train, self.val])).encode(), digest_size=16).hexdigest()

    def decode(self, numbers: np.ndarray) -> str:
        """Numbers as letters."""
        return "".join(self.alphabet[n] for n in numbers.tolist())


def encode(text: str, alphabet: str) -> np.ndarray:
    """Letters as their places in the alphabet; UserError for one that is not in it."""
    places = {letter: n for n, letter in enumerate(alphabet)}
    strange = sorted(set(text) - places.keys())
    if strange:
        raise UserError(f"the letters {''.join(strange)[:20]!r} are not in the text that was learned from")
    return np.array([places[letter] for letter in text], np.int64)


def load_text(spec: str) -> Text:
    """`python-docs`, the help texts of the standard library (some 460,000 letters of English, by version), or a text file in UTF-8."""
    if spec == "python-docs":
        from pydoc_data.topics import topics

        text = "\n\n".join(topics[name] for name in sorted(topics))
    else:
        try:
            text = Path(spec).read_text("utf-8")
        except UnicodeDecodeError as e:
            raise UserError(f"{spec}: is not a text in UTF-8: byte {e.start} is {e.object[e.start]:#04x}") from None
        except OSError as e:
            raise UserError(f"data {spec!r}: {e.strerror}; expected is a text file, or python-docs") from None
    alphabet = "".join(sorted(set(text)))
    if len(text) < 1000 or len(alphabet) < 2:
        raise UserError(f"{spec}: has {len(text)} letters, {len(alphabet)} different ones; there is nothing to learn from so few")
    numbers = encode(text, alphabet)
    cut = len(numbers) * 9 // 10
    return Text(spec, alphabet, numbers[:cut], numbers[cut:])
