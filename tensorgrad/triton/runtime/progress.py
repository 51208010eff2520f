"""What a first run shows while its kernels are compiled, on a terminal: which one, how many so far, for how long."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_compiled = 0


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Shows a bar while the block runs; it vanishes afterwards."""
    global _compiled
    _compiled += 1
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    columns = [TextColumn("Triton compiles {task.description}"), BarColumn(bar_width=20), TextColumn("once, then it is kept"),
               TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(f"{name} (kernel {_compiled} of this run)", total=None)
        yield
