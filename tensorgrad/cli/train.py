"""`tensorgrad train RECIPE`: train a network; the recipe's settings are the options."""
from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import signal
import typing
from collections.abc import Sequence
from typing import Any

from ..errors import UserError
from ..recipes import NAMES
from ..recipes import __name__ as recipes


def group(asked: Sequence[str]) -> Any:
    """The commands under `train`. Only the recipe that is asked for is imported; the others are named."""
    import typer

    app = typer.Typer(help=f"Train a network: {', '.join(NAMES)}.", no_args_is_help=True)
    for name in NAMES:
        if name in asked:
            app.command(name)(_command(name))
        else:
            app.command(name, help=f"See tensorgrad train {name} --help.")(_unasked)
    return app


def _unasked() -> None:
    raise AssertionError("a recipe that was asked for is always built")


def _command(name: str) -> Any:
    """The function behind `train NAME`: its parameters are the fields of the recipe's Config and what every run has."""
    import typer

    recipe = importlib.import_module(f"{recipes}.{name}")
    types = typing.get_type_hints(recipe.Config)

    def option(kind: Any, default: Any, text: str, *flags: str) -> Any:
        return inspect.Parameter(flags[0].lstrip("-").replace("-", "_"), inspect.Parameter.KEYWORD_ONLY, annotation=kind,
                                 default=typer.Option(default, *flags, help=text))

    parameters = []
    for f in dataclasses.fields(recipe.Config):
        shown = f"{f.metadata['help']} [default: {f.default}]" if f.default not in (None, "", False) else f.metadata["help"]
        kind = types[f.name]
        parameters.append(option(kind | None, None, shown, "--" + f.name.replace("_", "-")))
    parameters += [
        option(str | None, None, f"the run's folder [default: runs/{name}-<time>]", "--out"),
        option(str | None, None, "continue the run in this folder; its settings are kept", "--resume"),
        option(int | None, None, "threads [default: OMP_NUM_THREADS, or all cores]; the result does not depend on it", "--threads"),
    ]

    def run(**given: Any) -> None:
        _run(recipe, name, given.pop("out"), given.pop("resume"), given.pop("threads"), {k: v for k, v in given.items() if v is not None})

    run.__doc__ = recipe.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _run(recipe: Any, name: str, out: str | None, resume: str | None, threads: int | None, given: dict[str, Any]) -> None:
    from ..recipes.common.run import Run
    from ..recipes.common.signals import stopped

    if resume is not None:
        if out is not None and out != resume:
            raise UserError(f"--out {out}: a resumed run stays in its folder, {resume}")
        run = Run.open(resume, name)
        config = _stored(recipe, run, given)
    else:
        run = Run.new(out, name)
        config = recipe.Config(**given)
    config.check()
    _prepare(config, threads)
    print(f"training {name} on {config.data}, into {run.folder}" + (" (resumed)" if resume else ""), flush=True)
    with contextlib.closing(run):
        try:
            said = recipe.train(config, run)
        except KeyboardInterrupt:  # while the data is read or the pictures are drawn
            raise stopped(signal.SIGINT, f"SIGINT: {run.how_to_go_on()}") from None
    print(said)


def _stored(recipe: Any, run: Any, given: dict[str, Any]) -> Any:
    """The settings of a run that is resumed; UserError for an option that says otherwise."""
    stored = run.settings["config"]
    run.load()  # where the settings were changed since, it says so
    for key, value in given.items():
        if key in stored and stored[key] != value:
            raise UserError(f"{run.folder} was started with --{key.replace('_', '-')} {stored[key]}, not {value}: leave the option out to "
                            "continue it, or start a new run")
    try:
        config = recipe.Config(**stored)
    except TypeError as e:
        raise UserError(f"{run.folder}: its settings are of another version of the recipe {run.recipe!r}: {e}") from None
    for key, kind in typing.get_type_hints(recipe.Config).items():
        if not isinstance(getattr(config, key), kind):
            expected = getattr(kind, "__name__", kind)
            raise UserError(f"{run.folder}: in its settings {key} is {getattr(config, key)!r}; expected is {expected}")
    return config


def _prepare(config: Any, threads: int | None) -> None:
    """Threads, device and kernels, checked before anything is read or written."""
    import tensorgrad as tg

    if threads is not None:
        if threads < 1:
            raise UserError(f"--threads must be at least 1, got {threads}")
        try:
            tg.set_num_threads(threads)
        except ValueError as e:
            raise UserError(f"--threads {threads}: {str(e).removeprefix('set_num_threads: ')}") from None
    try:
        tg.device(config.device)
    except (ValueError, RuntimeError, ImportError) as e:
        raise UserError(f"--device {config.device}: {str(e).removeprefix('device: ')}") from None
    for item in filter(None, (part.strip() for part in config.kernels.split(","))):
        op, eq, path = (part.strip() for part in item.partition("="))
        try:
            tg.kernels.use(op if eq else "*", path if eq else op)
        except ValueError as e:
            raise UserError(f"--kernels {item}: {str(e).removeprefix('kernels.use: ')}") from None
