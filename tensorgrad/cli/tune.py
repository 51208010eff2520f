"""`tensorgrad tune [RUNG]`: measures the configurations of Triton kernels on this GPU and keeps the best."""
from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from ..errors import UserError


def tune(
    rung: Annotated[str | None, typer.Argument(help="those whose names begin so: matmul, 'matmul v09_hopper'; all if left out")] = None,
    dtype: Annotated[str | None, typer.Option(help="of this dtype only, e.g. bfloat16")] = None,
    shape: Annotated[list[str] | None, typer.Option(help="MxNxK, QUERIESxKEYSxWIDTHxCAUSAL; may be repeated")] = None,
) -> None:
    """Measure Triton's configurations on this GPU: for speed alone, no kernel needs it. An interrupted run goes on when called again."""
    from ..cuda import driver
    from ..triton import INTERPRETED, absent, load_kernels, tuned

    if problem := driver.examine().problem or absent() or (INTERPRETED and "TRITON_INTERPRET=1 keeps Triton from it: unset it") or None:
        raise UserError(f"tune measures on a CUDA GPU: {problem}")
    name = tuned.chip()
    if name is None:
        raise UserError("tune measures for one kind of GPU, and there are several here: name one in CUDA_VISIBLE_DEVICES")
    list(load_kernels())  # with them come what may be tried
    from ..triton.runtime import SPACES, tuning

    tasks = wanted(SPACES, rung, dtype, shape)
    path = tuned.kept(name)
    _, problem = tuned.read(path, name)
    if problem:
        raise UserError(f"{problem}; move it away, and tune begins a new one")
    machine = tuning.Gpu()
    try:
        with bar() as shown:
            for number, (space, kind, sizes) in enumerate(tasks, 1):
                about = f"{number}/{len(tasks)} {space.rung} {kind} {'x'.join(map(str, sizes))}"
                for done, of, said in tuning.tune(space, kind, sizes, machine, path, name):
                    if shown is None:
                        print(f"{number}/{len(tasks)} {done}/{of} {said}", flush=True)
                    else:
                        shown.update(shown.task_ids[0], description=about, completed=done, total=of)
    except KeyboardInterrupt:
        print(f"what is done is kept in {path}; the same command goes on from there", file=sys.stderr)
        raise
    tried, _ = tuned.read(path, name)
    for key, entries in tried.items():
        if (found := tuned.best(entries)) is not None:
            print(f"{key}: {tuning.words(found)}")
    print(f"kept in {path}")


def wanted(spaces: dict[str, Any], rung: str | None, dtype: str | None, shapes: list[str] | None) -> list[tuple[Any, str, tuple[int, ...]]]:
    """(space, dtype, shape) of each task; UserError where nothing is meant."""
    found = [s for s in spaces.values() if s.rung.startswith(rung or "")]
    if not found:
        raise UserError(f"tune: there is nothing to tune for {rung!r}; there is for {', '.join(sorted(spaces))}")
    tasks = []
    for space in found:
        own = [numbers(text, space) for text in shapes] if shapes else space.shapes
        tasks += [(space, kind, sizes) for kind in space.dtypes.split() if dtype in (None, kind) for sizes in own]
    if not tasks:
        raise UserError(f"tune: {found[0].rung} is not for {dtype}; it is for {found[0].dtypes}")
    return tasks


def numbers(text: str, space: Any) -> tuple[int, ...]:
    """A shape as it was typed."""
    parts = text.split("x")
    if len(parts) != len(space.sizes.split("x")) or not all(p.isdecimal() for p in parts):
        raise UserError(f"tune: a shape of {space.rung} is {space.sizes}, not {text!r}")
    return tuple(map(int, parts))


def bar() -> Any:
    """A progress bar on a terminal, else nothing: there are lines then."""
    if not sys.stdout.isatty():
        return nullcontext()
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), transient=True)
    shown.add_task("", total=None)
    return shown
