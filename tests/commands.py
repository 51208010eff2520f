"""Running the command `tensorgrad` inside a test."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tensorgrad as tg
from tensorgrad.cli import main

TIMES = ("seconds", "samples_per_s")


class Result(NamedTuple):
    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture, *arguments: object) -> Result:
    """The command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    code = end.value.code
    return Result(int(code) if code is not None else 0, *capsys.readouterr())


def fails(capsys: pytest.CaptureFixture, *arguments: object, code: int = 2) -> str:
    """The one line that a command which must fail prints."""
    result = run(capsys, *arguments)
    assert result.code == code, result
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("tensorgrad: ")
    return lines[0]


def process(*arguments: object, code: str = "from tensorgrad.cli import main; main()", **kwargs: Any) -> subprocess.Popen:
    """The command in a process of its own; `code` runs it with whatever is to go wrong."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment, **kwargs)


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what the clock decides."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def same_weights(a: Path, b: Path) -> bool:
    """Whether two checkpoints hold the same model and optimizer state, bit for bit."""
    first, second = (tg.load(folder / "checkpoint.safetensors") for folder in (a, b))

    def flat(value: Any, where: str = "") -> dict[str, bytes]:
        if isinstance(value, tg.Tensor):
            return {where: value.numpy().tobytes()}
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
        return {k: v for key, part in pairs for k, v in flat(part, f"{where}.{key}").items()} or {where: repr(value).encode()}

    keys = ("model", "optimizer", "scheduler", "loader", "random", "epoch")
    return all(flat(first[k]) == flat(second[k]) for k in keys)
