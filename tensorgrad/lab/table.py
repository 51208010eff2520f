"""Reports as tables for a terminal."""
from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from rich.console import Console, ConsoleOptions, Group
from rich.table import Table
from rich.text import Text

from .report import NOTE, Call, Launch, Line, Report, merged
from .sources import text_of

NAMESPACE = re.compile(r"\b\w+::")
COUNTS = ("requests", "lanes", "bytes", "sectors", "ideal_sectors", "wavefronts", "ideal_wavefronts", "conflicts")


def text(report: Report, width: int | None = None) -> str:
    """The report as plain text, as wide as the terminal unless a width is given."""
    out = io.StringIO()
    width = width or max(shutil.get_terminal_size((140, 24)).columns, 100)
    Console(file=out, width=width, color_system=None, highlight=False).print(render(report))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def render(report: Report) -> Group:
    """The report for a rich console."""
    s = report.settings
    order = f"thread order {s.get('seed') or 'ascending'}, asynchronous work {'eager' if s.get('eager') else 'late'}"
    parts: list[Any] = [Text(NOTE, style="italic"),
                        Text(f"lanes, 32-byte sectors and shared-memory wavefronts are per request of a warp; {order}")]
    for call in report.calls:
        parts += _call(report, call)
    if not report.calls:
        parts.append(Text("no launch: no CUDA kernel ran"))
    if len(report.calls) > 1 and not report.wrong:
        parts += [Text("\nall calls", style="bold"), *_summary(report)]
    return Group(*parts)


def _call(report: Report, call: Call) -> Iterator[Any]:
    yield Text(f"\n{call.op} {call.kernel}  {call.arguments}", style="bold")
    if call in report.wrong:
        if call.check.status == "wrong":
            yield Text(f"WRONG RESULT: {call.check}", style="bold red")
        else:
            yield Text(str(call.check), style="bold red")
        yield Text("No figures are shown for a kernel whose result is not known to be right; check=False shows them.")
        yield from _races([race for launch in call.launches for race in launch.races])
        return
    yield Text(f"result {call.check}", style="green" if call.check.status == "right" else "yellow")
    if not call.launches:
        yield Text("no launch: nothing to compute")
        return
    for launch, times in _alike(call.launches):
        yield Text(_title(launch, times), style="bold")
        if launch.lines:
            yield _Lines(launch)
    yield from _summary(Report([call], report.checked, report.raced, report.settings))


def _alike(launches: tuple[Launch, ...]) -> list[tuple[Launch, int]]:
    """Launches that differ in nothing, with how often each came."""
    found: list[tuple[Launch, int]] = []
    for launch in launches:
        at = next((i for i, (seen, _) in enumerate(found) if seen == launch), None)
        if at is None:
            found.append((launch, 1))
        else:
            found[at] = (launch, found[at][1] + 1)
    return found


class _Lines:
    """The source lines of a launch. The text of a line gets what the other columns leave of the width; a narrow terminal has fewer."""

    HEADER = ("line", "source", "access", "bytes", "requests", "lanes", "sectors\n(ideal)", "wavefronts\n(ideal)", "")
    DISPENSABLE = (1, 5, 4, 3)  # columns a narrow terminal does without, in this order
    SHORTEST = 16  # of a source line

    def __init__(self, launch: Launch):
        self.rows = [(f"{PurePath(line.file).name}:{line.line}", text_of(line.file, line.line), access(line), f"{line.bytes:,}",
                      f"{line.requests:,}", _per(line.lanes, line.requests) if line.bytes_per_lane else "",
                      of_ideal(line, "sectors"), of_ideal(line, "wavefronts"), ", ".join(line.marks))
                     for line in merged(launch.lines, COUNTS)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        heads = [max(map(len, name.split("\n"))) for name in self.HEADER]
        widths = [max(head, *(len(row[i]) for row in self.rows)) for i, head in enumerate(heads)]
        least = [width if i != 1 else min(width, self.SHORTEST) for i, width in enumerate(widths)]
        shown = [i for i in range(len(widths)) if any(row[i] for row in self.rows)]
        for i in self.DISPENSABLE:
            if sum(least[k] + 2 for k in shown) > options.max_width:
                shown.remove(i)
        room = options.max_width - sum(widths[k] + 2 for k in shown if k != 1) - 2
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for i in shown:
            table.add_column(self.HEADER[i], justify="right" if 2 < i < 8 else "left", no_wrap=True)
        for row in self.rows:
            cells = [*map(Text, row[:-1]), Text(row[-1], style="red")]
            cells[1].truncate(max(room, 1), overflow="ellipsis")
            table.add_row(*(cells[i] for i in shown))
        yield table


def _title(launch: Launch, times: int) -> str:
    grid, block, cluster = ("x".join(map(str, size)) for size in (launch.grid, launch.block, launch.cluster))
    title = f"\n{NAMESPACE.sub('', launch.kernel)}  grid {grid}, block {block}"
    if cluster != "1x1x1":
        title += f", cluster {cluster}"
    title += f", {launch.static_shared + launch.dynamic_shared:,} bytes of shared memory"
    return title + (f"  ({times} times)" if times > 1 else "") + ("  FAILED" if launch.failed else "")


def access(line: Line) -> str:
    """`global load by cp.async, 16 B`: what an access does, how, and bytes a lane."""
    how = "" if line.via == "thread" else f" by {line.via}"
    return f"{line.space} {line.access}{how}" + (f", {line.bytes_per_lane} B" if line.bytes_per_lane else "")


def of_ideal(line: Line, what: str) -> str:
    """`8.5 (1.5)`: sectors or wavefronts per request, and the ideal; empty where the access has none."""
    n, least = getattr(line, what), getattr(line, f"ideal_{what}")
    return f"{_per(n, line.requests)} ({_per(least, line.requests)})" if n and line.bytes_per_lane else ""


def _per(n: int, requests: int) -> str:
    return f"{n / requests:.2f}".rstrip("0").rstrip(".") if n and requests else ""


def _summary(report: Report) -> Iterator[Any]:
    t = report.totals
    rows = []
    if any(launch.lines for launch in report.launches):
        rows += [("global traffic", f"{t['global_traffic']:,} bytes{_times(t['traffic_to_least'])} (loads {t['global_loads']:,}, "
                                    f"stores {t['global_stores']:,})"),
                 ("least traffic", "-" if t["least_bytes"] is None else f"{t['least_bytes']:,.0f} bytes"),
                 ("footprint", f"{t['footprint']:,} bytes{_times(t['footprint_to_least'])}: traffic behind a cache that keeps everything"),
                 ("divergence", "-" if t["divergence"] is None else f"{100 * t['divergence']:.1f}% of lanes idle in accesses"),
                 ("sectors/request", f"{_two(t['sectors_per_request'])}, ideal {_two(t['ideal_sectors_per_request'])}"),
                 ("wavefronts/request", f"{_two(t['wavefronts_per_request'])}, ideal {_two(t['ideal_wavefronts_per_request'])}"),
                 ("instructions", ", ".join(f"{n:,} {kind}" for kind, n in report.instructions.items()))]
    for occupied in dict.fromkeys(_occupied(launch) for launch in report.launches):
        rows.append(("occupancy", occupied))
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    yield Text("")
    yield table
    if report.raced:
        yield from _races(report.races) if report.races else [Text("races               none found", style="green")]


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f" = {ratio:.2f} x the least"


def _occupied(launch: Launch) -> str:
    if launch.occupancy is None:
        return launch.registers_from
    known = launch.occupancy.registers
    used = f"registers {launch.registers_from}" if known is None else f"{known} registers, {launch.registers_from}"
    return f"{launch.occupancy} ({used})"


def _races(races: list[Any]) -> Iterator[Any]:
    for race in races:
        first = f"{_side(race.first)}, then " if race.first else ""
        yield Text(f"RACE {race.kind} in {race.space} memory, {race.count} times: {first}{_side(race.second)}; {race.where}",
                   style="bold red")


def _side(side: Any) -> str:
    who = "" if side.agent == "thread" else f" by {side.agent}"
    return (f"{side.access}{who} at {PurePath(side.file).name}:{side.line} (block {','.join(map(str, side.block))} "
            f"thread {','.join(map(str, side.thread))})")


def _two(n: float | None) -> str:
    return "-" if n is None else f"{n:.2f}"


COLUMNS = ("kernel", "dtype", "global traffic", "x least", "sectors/request", "ideal", "wavefronts/request", "ideal", "barriers",
           "occupancy", "races")


def comparison(reports: dict[str, Report | str]) -> Group:
    """The reports of `compare` for a rich console: a row for each kernel with figures, a line for each without."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if i < 2 else "right", no_wrap=i < 2)
    lines = []
    for path, report in reports.items():
        if isinstance(report, str):
            lines.append(Text(f"{path}: {report}"))
        elif report.wrong:
            lines.append(Text(f"{path}: {str(report.wrong[0].check).replace('wrong:', 'WRONG RESULT:')}", style="bold red"))
        elif not report.launches:
            lines.append(Text(f"{path}: no launch: nothing to compute"))
        else:
            table.add_row(path, *_row(report))
    return Group(Text(NOTE, style="italic"), *([table] if table.row_count else []), *lines)


def _row(report: Report) -> tuple[str, ...]:
    t = report.totals
    fractions = {f"{'' if o.registers is not None else '<= '}{100 * o.fraction:.3g}%" for o in
                 (launch.occupancy for launch in report.launches) if o}
    return (report.calls[0].arguments.partition(" ")[0], f"{t['global_traffic']:,}", _two(t["traffic_to_least"]),
            _two(t["sectors_per_request"]), _two(t["ideal_sectors_per_request"]), _two(t["wavefronts_per_request"]),
            _two(t["ideal_wavefronts_per_request"]), f"{t['barriers']:,}", ", ".join(sorted(fractions)) or "-",
            "-" if t["races"] is None else str(t["races"]))
