"""Compiles kernels against the emulator and the lab's recorder, as CMakeLists.txt does for `_lab`."""
from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLAGS = ["-std=c++20", "-g1", "-gdwarf-5", "-fPIC", "-DTG_LAB", "-fno-extern-tls-init", "-fstack-clash-protection", "-Wno-unknown-pragmas",
         "-Wno-psabi", "-fvisibility=hidden", "-fno-gnu-unique", f"-ffile-prefix-map={ROOT}/="]
INSTRUMENTED = ["-O2", "-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0", "--param=tsan-distinguish-volatile=1", "-Wno-tsan",
                "-fno-tree-vectorize", "-fno-store-merging"]


def library(folder: Path, kernels: list[Path], plain: list[Path]) -> ctypes.CDLL:
    """A shared library in `folder`: the emulator with its recorder, `plain` sources, and `kernels` whose accesses are recorded.

    Processes that ask for the same one at the same time wait for the first to make it.
    """
    folder.mkdir(exist_ok=True)
    made = folder / "library.so"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            link(made, compile_all(folder, kernels, plain))
    return ctypes.CDLL(str(made))


def compile_all(folder: Path, kernels: list[Path], plain: list[Path]) -> list[str]:
    """The objects of such a library."""
    compiler = ["ccache", "g++"] if shutil.which("ccache") else ["g++"]

    def compile_one(source: Path) -> str:
        target = folder / f"{source.stem}_{source.suffix[1:]}.o"
        how = INSTRUMENTED if source in kernels else ["-O1"]
        subprocess.run([*compiler, *FLAGS, *how, "-c", "-x", "c++", str(source), "-o", str(target)], check=True)
        return str(target)

    sources = [*ROOT.glob("csrc/emulator/*.cpp"), *ROOT.glob("csrc/emulator/lab/*.cpp"), *plain, *kernels]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


def link(made: Path, objects: list[str]) -> None:
    """A shared library from objects, there at once or not at all."""
    half = made.with_suffix(".half")
    subprocess.run(["g++", "-shared", *objects, "-o", str(half), "-pthread"], check=True)
    half.rename(made)
