"""The text of source lines, where the sources are at hand: in a checkout, or beside the installed package."""
from __future__ import annotations

import functools
import itertools
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


@functools.cache
def find(path: str) -> Path | None:
    """The file behind a path such as `csrc/cuda/matmul/v02_shared.cu`, or None."""
    for root in (_PACKAGE.parent, _PACKAGE, Path()):
        if (root / path).is_file():
            return root / path
    return None


@functools.cache
def _lines(path: str) -> list[str]:
    found = find(path)
    try:
        return found.read_text().splitlines() if found else []
    except (OSError, UnicodeDecodeError):
        return []


def text_of(path: str, line: int) -> str:
    """The line, without the blanks around it; empty where the file is not here."""
    lines = _lines(path)
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def header(path: str) -> dict[str, str]:
    """The words at the top of a rung by what they start with: "The idea", ..., "Bottleneck"; empty where the file is not here."""
    found: dict[str, str] = {}
    name = ""
    for line in itertools.takewhile(lambda line: line.startswith("// "), _lines(path)):
        head, colon, text = line[3:].partition(":")
        if colon and head.startswith(("The idea", "Before it", "Ownership", "Bottleneck", "Measure")):
            name, found[head] = head, text.strip()
        elif name:  # goes on from the line before
            found[name] += " " + line[3:].strip()
    return found
