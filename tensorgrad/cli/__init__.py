"""The command `tensorgrad`. A module here is a command, and has a function of its name; heavy imports are inside the functions."""
from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ..errors import UserError

HELP = "A deep-learning framework that can be read down to the metal."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. What the user can mend is printed as one line (exit code 2); `--debug` shows where it came from."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [a for a in given if a != "--debug"]
    try:
        application(given)(args=given, prog_name="tensorgrad")
    except (UserError, OSError) as error:  # an OSError: a file or folder that cannot be used as it was to be
        if debug:
            raise
        if isinstance(error, OSError) and error.strerror:
            print(f"tensorgrad: {f'{error.filename}: ' if error.filename else ''}{error.strerror}", file=sys.stderr)
        else:
            print(f"tensorgrad: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 2))
    except KeyboardInterrupt:
        print("tensorgrad: SIGINT: interrupted", file=sys.stderr)
        sys.exit(130)


def application(arguments: Sequence[str]) -> Any:
    """The typer application for these arguments: `train` makes the options of the one recipe that is asked for."""
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                      context_settings={"help_option_names": ["-h", "--help"]},
                      epilog="All commands take --debug, which shows the traceback of an error.")
    app.callback(invoke_without_command=True)(_version)
    for module in pkgutil.iter_modules(__path__):
        command = importlib.import_module(f"{__name__}.{module.name}")
        if hasattr(command, "group"):
            app.add_typer(command.group(arguments[1:2] if arguments[:1] == [module.name] else []), name=module.name)
        else:
            app.command(module.name)(getattr(command, module.name))
    return app


def _version(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        from .. import __version__

        print(__version__)
