"""Compiles kernels of tests, or changed ones, against the emulator and the lab's recorder, as CMakeLists.txt does for `_lab`."""
from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLAGS = ["-std=c++20", "-O1", "-g1", "-gdwarf-5", "-fPIC", "-DTG_LAB", "-fno-extern-tls-init", "-fstack-clash-protection",
         "-Wno-unknown-pragmas", "-Wno-psabi", "-fvisibility=hidden", "-fno-gnu-unique", f"-ffile-prefix-map={ROOT}/="]
RECORDED = ["-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0", "-Wno-tsan", "-fno-store-merging"]

needs_gcc = pytest.mark.skipif(platform.system() != "Linux" or not shutil.which("g++"), reason="needs Linux and g++")


def folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Processes that want to make the same thing at the same time wait for the first, and then find it."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compiled(folder: Path, sources: Iterable[Path], flags: Sequence[str] = ()) -> list[str]:
    """Objects in `folder`. Sources there are named without it, so that ccache knows them again."""
    compiler = ["ccache", "g++"] if shutil.which("ccache") else ["g++"]

    def compile_one(source: Path) -> str:
        target = folder / f"{source.stem}_{source.suffix[1:]}.o"
        name = source.name if source.parent == folder else str(source)
        subprocess.run([*compiler, *FLAGS, f"-ffile-prefix-map={folder}=.", *flags, "-c", "-x", "c++", name, "-o", target.name], check=True,
                       cwd=folder)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


def emulator(folder: Path) -> list[str]:
    """The objects of the emulator with its recorder, made by the first who asks."""
    folder = folder / "emulator"
    with one_at_a_time(folder):
        if not (folder / "made").exists():
            objects = compiled(folder, [*ROOT.glob("csrc/emulator/*.cpp"), *ROOT.glob("csrc/emulator/lab/*.cpp")])
            (folder / "made").write_text("\n".join(objects))
    return (folder / "made").read_text().split("\n")


def link(made: Path, objects: Sequence[str]) -> None:
    """A shared library from objects, there at once or not at all."""
    half = made.with_suffix(".half")
    subprocess.run(["g++", "-shared", *objects, "-o", str(half), "-pthread"], check=True)
    half.rename(made)
