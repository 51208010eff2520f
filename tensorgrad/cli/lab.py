"""`tensorgrad lab OP`: what CUDA kernels do, line by line, counted by the emulator."""
from __future__ import annotations

import ast
import json as json_module
import sys
from typing import Annotated, Any

import typer

from ..errors import UserError


def lab(
    op: Annotated[str, typer.Argument(help="an operation with CUDA kernels, e.g. matmul")],
    kernel: Annotated[str | None, typer.Option(help="the rung, e.g. v02_shared; all are compared if left out")] = None,
    shape: Annotated[list[str] | None, typer.Option(help="an operand: 128x64, scalar, none, 8:int64:0:10 for integers in [0, 10), or a "
                                                         "list [7,3x5] of tensors; one for each")] = None,
    dtype: Annotated[str | None, typer.Option(help="of the floating operands [default: the first the rung computes]")] = None,
    layout: Annotated[str | None, typer.Option(help="a letter per operand: N as it is, T transposed in memory, C channels last")] = None,
    option: Annotated[list[str] | None, typer.Option(help="an option of the operation, e.g. stride=2")] = None,
    seed: Annotated[int, typer.Option(help="of the random operands")] = 0,
    arch: Annotated[str, typer.Option(help="the chip occupancy is computed for")] = "sm_90",
    races: Annotated[bool, typer.Option("--races/--no-races", help="look for races")] = True,
    check: Annotated[bool, typer.Option("--check/--no-check", help="compare the result with the float64 reference first")] = True,
    code: Annotated[bool, typer.Option("--code", help="with --kernel: count the opcodes of the machine code (static; needs nvcc)")] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Run kernels of OP on the emulator and show their memory traffic, bank conflicts, barriers, occupancy and races (all modelled).

    Ends with exit code 1 where a result is wrong, a kernel fails or a race is found.
    """
    from ..lab import compare, profile
    from ..lab.build import summary
    from ..lab.profile import op_named
    from ..lab.table import comparison, render

    target = op_named(op)
    if not shape:
        if kernel is not None:
            raise UserError(f"lab: {op} needs its operands: tensorgrad lab {op} --kernel {kernel} --shape 128x64 ...")
        _list(target, json)
        return
    operands = [operand(text) for text in shape]
    settings = {"dtype": dtype, "layout": layout, "seed": seed, "races": races, "check": check, "arch": arch, **options(option or [])}
    try:
        if kernel is None:
            reports: Any = compare(target, *operands, **settings)
        else:
            report = profile(target, kernel, *operands, **settings)
    except UserError:
        raise
    except (RuntimeError, ValueError, TypeError) as e:  # the op refuses these operands
        raise UserError(str(e)) from e
    if kernel is None:
        shown: Any = comparison(reports)
        plain: Any = {path: r if isinstance(r, str) else r.to_dict() for path, r in reports.items()}
        bad = any(not isinstance(r, str) and (r.wrong or r.races) for r in reports.values())
    else:
        shown, plain, bad = render(report), report.to_dict(), bool(report.wrong or report.races)
        if code:
            plain["machine_code"] = _code(report, arch)
    if json:
        print(json_module.dumps(plain, indent=1))
    else:
        _print(shown)
        for name, counts in plain.get("machine_code", {}).items() if code else ():
            print(f"machine code, static: {name}: {summary(counts)}")
    if bad:
        sys.exit(1)


def _list(op: Any, json: bool) -> None:
    """The rungs of an op and their ideas."""
    from ..lab.profile import rungs
    from ..lab.sources import header

    rows = [{"kernel": k.path, "dtypes": " ".join(sorted(k.dtypes)), "idea": header(k.source).get("The idea", ""), "source": k.source}
            for k in rungs(op)]
    if json:
        print(json_module.dumps(rows, indent=1))
        return
    widths = [max(len(row[key]) for row in rows) for key in ("kernel", "dtypes")]
    for row in rows:
        print(f"{row['kernel']:<{widths[0]}}  {row['dtypes']:<{widths[1]}}  {row['idea'] or row['source']}")
    print(f"\nCompare them: tensorgrad lab {op.name} --shape ... ; look into one: --kernel {rows[0]['kernel'].partition('/')[2]}")


def _code(report: Any, arch: str) -> dict[str, dict[str, int]]:
    """Opcodes of the kernels that were launched."""
    from ..lab.build import machine_code
    from ..lab.occupancy import limits_of
    from ..lab.registers import key

    launched = {key(launch.kernel) for launch in report.launches}
    return {name: counts for source in {call.source for call in report.calls}
            for name, counts in machine_code(source, limits_of(arch)[0]).items() if key(name) in launched}


def _print(shown: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    Console(highlight=False, width=None if console.is_terminal else max(console.width, 140)).print(shown)


def operand(text: str) -> Any:
    """A shape, a `T`, or a list of these, from what stands after --shape."""
    from ..cases import T

    if text.startswith("[") and text.endswith("]"):
        return [operand(one) for one in text[1:-1].split(",")]
    size, *rest = text.split(":")
    try:
        if text == "none":
            return None
        shape = () if size == "scalar" else tuple(int(n) for n in size.split("x"))
        if min(shape, default=0) < 0 or len(rest) not in (0, 1, 3):
            raise ValueError
        if not rest:
            return shape
        low, high = map(float, rest[1:] or (0, 2))
    except ValueError:
        raise UserError(f"lab: --shape {text!r} is none of 128x64, scalar, none, 8:int64:0:10, [7,3x5]") from None
    return T(*shape, dtype=rest[0], low=low, high=high)


def options(given: list[str]) -> dict[str, Any]:
    """`stride=2`, `padding=(1,1)`, `causal=true`, `mode=nearest` as Python values."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise UserError(f"lab: --option {text!r} is not of the form name=value")
        try:
            found[name] = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(value, value))
        except (ValueError, SyntaxError):
            found[name] = value
    return found
