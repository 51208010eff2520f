"""`tensorgrad runs`: the training runs there are, side by side."""
from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError


def runs(
    folders: Annotated[list[str] | None, typer.Argument(help="run folders, or folders that hold some [default: runs]")] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List runs: how far each came, its last figures, and the settings in which they differ."""
    found = [run for folder in folders or ["runs"] for run in _below(Path(folder))]
    if not found:
        raise UserError(f"no runs in {', '.join(folders or ['runs'])}: tensorgrad train makes one")
    rows = [_row(folder) for folder in found]
    if json:
        print(json_module.dumps(rows, indent=2))
        return
    import shutil

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("run", "recipe", "epochs", "settings", "last figures"):
        table.add_column(title, overflow="fold")
    for row in rows:
        differing = _differing([other["config"] for other in rows if other["recipe"] == row["recipe"]])
        settings = "  ".join(f"{key} {row['config'].get(key)}" for key in ["data", *differing])
        figures = "  ".join(f"{k} {v:.4g}" for k, v in row["last"].items())
        table.add_row(row["run"], row["recipe"], f"{row['epochs']} of {row['config'].get('epochs')}", settings, figures)
    Console(width=max(100, shutil.get_terminal_size((120, 24)).columns)).print(table)


def _below(folder: Path) -> list[Path]:
    """The folder itself, if it is a run, else those in it, the oldest first."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if (folder / "config.json").exists():
        return [folder]
    return sorted((f.parent for f in folder.glob("*/config.json")), key=lambda run: (run / "config.json").stat().st_mtime)


def _row(folder: Path) -> dict[str, Any]:
    """What is known of a run; UserError where its files are damaged."""
    from ..recipes.common.run import METRICS, Run

    opened = Run.open(str(folder))
    path = folder / METRICS
    try:
        lines = [json_module.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
        last: dict[str, float] = {}
        for line in lines:  # of each figure the latest
            last.update({k: v for k, v in line.items() if k.startswith(("val_", "test_"))})
        epochs = max((line["epoch"] for line in lines), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged: JSON, a line an epoch, is expected") from None
    return {"run": str(folder), "recipe": opened.recipe, "epochs": epochs, "last": last, "config": opened.settings["config"]}


def _differing(configs: list[dict[str, Any]]) -> list[str]:
    """The settings that not all of these runs share, but for those that are shown anyway."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if key not in ("epochs", "data") and len({json_module.dumps(config.get(key)) for config in configs}) > 1]
