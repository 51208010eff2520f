"""Configurations of Triton kernels that were measured: tiles, warps and stages by rung, dtype and shape, for one kind of GPU a file.

A rung that can be tuned asks `lookup` with its default. The user's file answers (`tensorgrad tune` writes it, into `tuned` in the cache
folder), then the one that ships beside this module, then the default stands. None ships so far: not yet measured on a GPU.

    {"schema": 1, "chip": "sm_90x132", "tried": {"matmul v09_hopper bfloat16 4096x4096x4096": [
        {"configuration": {"BM": 128, "BN": 256, "num_warps": 8, "num_stages": 3}, "seconds": 0.0002},
        {"configuration": {"BM": 128, "BN": 256, "num_warps": 4, "num_stages": 3}, "passed_over": "spills 64 bytes"}]}}

(figures invented to show the form). What is no such file is said in one line and left alone.
"""
from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...atomic import write_atomic
from ...cuda import driver
from ...data.fetch import cache_folder
from .. import INTERPRETED

SCHEMA = 1
SHIPPED = Path(__file__).parent
Configuration = dict[str, int]
trial: Callable[[str, Configuration], Configuration] | None = None  # asked in the place of the tables while candidates are tried


def lookup(rung: str, dtype: Any, shape: str, default: Configuration) -> Configuration:
    """The configuration to launch a rung with, by its dtype and its class of shapes."""
    key = f"{rung} {dtype.name} {shape}"
    if trial is not None:
        return trial(key, default)
    for table in tables():
        found = table.get(key)
        if found is not None and found.keys() == default.keys():  # a rung may have had other constants when it was tuned
            return found
    return default


def class_of(*sizes: int) -> str:
    """The class of shapes that these sizes belong to: the powers of two that they reach."""
    return "x".join([str(1 << max(0, n - 1).bit_length()) for n in sizes])


@functools.cache
def chip() -> str | None:
    """The kind of GPU here, by compute capability and multiprocessors: sm_90x132. None where there is none, or there are several kinds, for
    what is worked out for a shape serves all GPUs of a process."""
    if INTERPRETED:
        return "interpreter"
    kinds = set(driver.chips())
    return "sm_{}x{}".format(*kinds.pop()) if len(kinds) == 1 else None


def kept(name: str) -> Path:
    """The user's file for a kind of GPU."""
    return cache_folder() / "tuned" / f"{name}.json"


@functools.cache
def tables() -> tuple[dict[str, Configuration], ...]:
    """The best configurations by key: the user's, then those that ship."""
    name = chip()
    if name is None:
        return ()
    found = []
    for path in (kept(name), SHIPPED / f"{name}.json"):
        tried, problem = read(path, name)
        if problem:
            warnings.warn(problem, stacklevel=2)
        found.append({key: one for key, entries in tried.items() if (one := best(entries)) is not None})
    return tuple(found)


def best(entries: list[dict[str, Any]]) -> Configuration | None:
    """The fastest of those that were timed."""
    timed = [e for e in entries if "seconds" in e]
    found: Configuration | None = min(timed, key=lambda e: e["seconds"])["configuration"] if timed else None
    return found


def read(path: Path, name: str) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """(what a file says was tried, by key, and None); or nothing and why it is ignored. No file is nothing to complain of."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, None
    except OSError as e:
        return {}, f"{path} is ignored: it cannot be read ({e.strerror})"
    except ValueError:
        return {}, f"{path} is ignored: it is damaged, no JSON"
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        has = f"schema {content.get('schema')!r}" if isinstance(content, dict) else "no schema"
        return {}, f"{path} is ignored: it has {has}, and schema {SCHEMA} is expected"
    if content.get("chip") != name:
        return {}, f"{path} is ignored: it is for {content.get('chip')!r}, not {name}"
    tried = content.get("tried")
    if not isinstance(tried, dict) or not all(isinstance(entries, list) and all(map(sound, entries)) for entries in tried.values()):
        return {}, f"{path} is ignored: an entry under 'tried' is not what tensorgrad tune writes"
    return tried, None


def sound(entry: Any) -> bool:
    """Whether an entry has a configuration that kernels can be launched with, and what came of it."""
    if not isinstance(entry, dict) or not isinstance(entry.get("configuration"), dict):
        return False
    for name, value in entry["configuration"].items():
        if type(value) is not int or not 0 < value <= 1024 or (name != "num_stages" and value & (value - 1)):
            return False
    if isinstance(entry.get("passed_over"), str):
        return "seconds" not in entry
    return isinstance(entry.get("seconds"), float) and math.isfinite(entry["seconds"]) and entry["seconds"] > 0


def write(path: Path, name: str, tried: dict[str, list[dict[str, Any]]]) -> None:
    """Keep what was tried, whole or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"  {json.dumps(key)}: [\n   " + ",\n   ".join(map(json.dumps, entries)) + "]" for key, entries in sorted(tried.items())]
    text = f'{{"schema": {SCHEMA}, "chip": {json.dumps(name)}, "tried": {{\n' + ",\n".join(lines) + "}}\n"
    write_atomic(path, [text.encode()])
    tables.cache_clear()
