"""`tensorgrad kernels [OP]`: every kernel there is here, and which one runs."""
from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from ..errors import UserError


def kernels(
    op: Annotated[str | None, typer.Argument(help="an operation, e.g. softmax; all if left out")] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the kernels: op, device, path, dtypes and source, in the order they are tried; * marks the one that runs."""
    rows = table(op)
    if json:
        print(json_module.dumps(rows, indent=2))
        return
    widths = [max(len(str(row[key])) for row in rows) for key in ("op", "device", "path", "dtypes")]
    print("  " + "  ".join(f"{key:<{w}}" for key, w in zip(("op", "device", "path", "dtypes"), widths, strict=True)) + "  source")
    for row in rows:
        mark = "*" if row["runs"] else " "
        cells = "  ".join(f"{row[key]:<{w}}" for key, w in zip(("op", "device", "path", "dtypes"), widths, strict=True))
        print(f"{mark} {cells}  {row['source']}" + (f"  (chosen by {row['chosen_by']})" if row["chosen_by"] else ""))
    print("\n* runs where it supports the call, else the next one below. Choose another: TG_KERNELS=OP=PATH, or tg.kernels.use(OP, PATH)")


def table(op: str | None = None) -> list[dict[str, Any]]:
    """A row per kernel. `runs`: it is the first that is tried; `chosen_by`: who asked for it, where somebody did."""
    from .. import dispatch

    try:
        found = dispatch.list_kernels(op)
        if not dispatch._environment_read:
            dispatch._read_environment()
    except ValueError as e:
        raise UserError(str(e)) from None
    if not found:
        import difflib

        near = difflib.get_close_matches(op or "", dispatch._ops, 3)
        raise UserError(f"no kernels of an op {op!r}" + (f"; near it: {', '.join(near)}" if near else "; `tensorgrad kernels` lists all"))
    rows = []
    first: dict[tuple[str, str], str] = {}
    for k in found:
        peers = dispatch.ordered(dispatch._ops[k.op], k.device)
        asked, who = dispatch._override_for(dispatch._ops[k.op], peers)
        if (k.op, k.device) not in first:
            first[k.op, k.device] = next(p.path for p in peers if asked is None or asked in (p.path, p.family))
        runs = first[k.op, k.device] == k.path
        rows.append({"op": k.op, "device": k.device, "path": k.path, "dtypes": " ".join(sorted(k.dtypes)), "source": _source(k.source),
                     "runs": runs, "chosen_by": who if runs and asked else ""})
    return rows


def _source(path: str) -> str:
    """A source file as a path in the repository."""
    parts = path.replace("\\", "/").lstrip("/").split("/")
    for top in ("csrc", "tensorgrad"):
        if top in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(top):])
    return path
