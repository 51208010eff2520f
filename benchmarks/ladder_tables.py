"""What the lab says in the READMEs: `python benchmarks/ladder_tables.py` writes it, `--check` says whether it is still true.

A README asks for its tables with a comment, and the tables stand between it and the next one:

    <!-- lab matmul 128x128 128x128 -->
    <!-- end of lab -->

after `lab` the op, its operands as `tensorgrad lab --shape` takes them, and options as name=value. Every rung of the op that takes the
call is there, each checked against its float64 reference and for races before a figure is written. The figures are counts of the
emulator: modelled. A README changes when one of its counts did, and then its rows of source lines are renewed with them.
`lab print matmul v02_shared 128x64 64x128` asks for what `tensorgrad lab` prints about one kernel.
"""
from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path, PurePath

from tensorgrad.cli.lab import operand, options
from tensorgrad.dispatch import Kernel
from tensorgrad.lab import Report, compare, profile
from tensorgrad.lab.profile import Refusal, op_named, rungs
from tensorgrad.lab.recorder import extension
from tensorgrad.lab.registers import of_kernel
from tensorgrad.lab.report import NOTE, SECTOR, Launch
from tensorgrad.lab.sources import header, text_of
from tensorgrad.lab.table import access, of_ideal, text

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- lab (.+?) -->\n).*?(<!-- end of lab -->)", re.S)
READMES = [ROOT / "README.md", *sorted(ROOT.glob("csrc/cuda/*/README.md"))]
WIDTH = 140
CHIPS = ("sm_80", "sm_90")
MOST_LINES = 5


def main() -> None:
    """Write or check the README and those under csrc/cuda."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a table is not what the lab says")
    check = parser.parse_args().check
    changed = {readme: new for readme in READMES if counts(new := renewed(readme)) != counts(readme.read_text())}
    for readme, new in changed.items():
        print(f"{'not what the lab says' if check else 'written'}: {readme.relative_to(ROOT)}")
        if not check:
            readme.write_text(new)
    sys.exit(bool(changed) and check)


def renewed(readme: Path) -> str:
    """The text of a README with its tables as the lab gives them now."""
    return BLOCK.sub(lambda m: m[1] + tables(m[2]) + m[3], readme.read_text())


def counts(text: str) -> list[str]:
    """The words of a README, line by line, without the rows of single source lines: which line of several that were compiled into one
    another an access counts for is not the same in every build, what is counted is."""
    return [" ".join(line.split()) for line in text.splitlines() if not re.match(r"(\| )?(\S+\.(cu|cuh|h)(:\d+)?|cmath) ", line)]


def compiler() -> str:
    """What the lab's kernels were compiled by, as it says in the module: other versions order and combine accesses in other ways."""
    found = re.search(rb"GCC: \(.*?\) (\d+)", Path(str(extension().__file__)).read_bytes())
    return f"GCC {found[1].decode()}" if found else "an unknown compiler"


def tables(request: str) -> str:
    """The text for a comment `lab OP SHAPE... [NAME=VALUE...]`."""
    op, *rest = request.split()
    if op == "print":
        op, kernel, *rest = rest
        return f"```\n{text(profile(op, kernel, *map(operand, rest)), WIDTH)}\n```\n\n(kernels compiled by {compiler()})\n"
    reports = compare(op, *[operand(r) for r in rest if "=" not in r], **options([r for r in rest if "=" in r]))
    for path, report in reports.items():
        if not isinstance(report, Refusal) and (isinstance(report, str) or report.wrong or report.races):
            raise SystemExit(f"no figures for {path}: {report}")
    found = {path: r for path, r in reports.items() if isinstance(r, Report)}
    operands = next(iter(found.values())).calls[0].arguments.partition(" ")[2]
    note = f"{NOTE[0].upper()}{NOTE[1:]} (kernels compiled by {compiler()})."
    return "\n".join([f"\n{op} of {operands}. {note}\n", *overview(op, found), "", *sections(op, found), "", ""])


def overview(op: str, reports: dict[str, Report]) -> list[str]:
    """One row for each rung."""
    kernels = {kernel.path: kernel for kernel in rungs(op_named(op))}
    rows = [("rung", "dtype", "global traffic, bytes", "x least", "sectors per request (ideal)", "shared requests",
             "wavefronts per request (ideal)", "barriers per warp", "registers (sm_90a)", *(f"occupancy {chip}" for chip in CHIPS))]
    rows.append(("---", "---", *["---:"] * (len(rows[0]) - 2)))
    for path, report in reports.items():
        t = report.totals
        warps = sum(launch.warps for launch in report.launches)
        shared = sum(line.requests for line in report.lines if line.space == "shared")
        used = sorted({str(launch.occupancy.registers) for launch in report.launches if launch.occupancy})
        rows.append((f"`{path.partition('/')[2]}`", report.calls[0].arguments.partition(" ")[0], f"{t['global_traffic']:,}",
                     f"{t['traffic_to_least']:.2f}", ideal(t["sectors_per_request"], t["ideal_sectors_per_request"]), f"{shared:,}",
                     ideal(t["wavefronts_per_request"], t["ideal_wavefronts_per_request"]), f"{t['barriers'] / warps:.3g}",
                     ", ".join(used) or "-",
                     *(", ".join(sorted({resident(launch, chip, kernels[path]) for launch in report.launches})) for chip in CHIPS)))
    return ["| " + " | ".join(row) + " |" for row in rows]


def ideal(n: float | None, least: float | None) -> str:
    """`4.25 (4)`."""
    return "-" if n is None or least is None else f"{n:.3g} ({least:.3g})"


def resident(launch: Launch, chip: str, kernel: Kernel) -> str:
    """Resident warps of a launch on a chip, in percent."""
    shared = launch.dynamic_shared + launch.static_shared
    found, _ = of_kernel(kernel, launch.kernel, chip, math.prod(launch.block), shared)
    return "-" if found is None else f"{'' if found.registers is not None else '<= '}{100 * found.fraction:.3g}%"


def sections(op: str, reports: dict[str, Report]) -> list[str]:
    """What each rung is about, in the words of its header, and the source lines that move most."""
    out, seen = [], set()
    kernels = {kernel.path: kernel for kernel in rungs(op_named(op))}
    for path, report in reports.items():
        source = kernels[path].source
        if source in seen:  # another precision of the same rung
            continue
        seen.add(source)
        says = header(source)
        about = f"{sentence(says.get('The idea', ''))} *Bottleneck: {says.get('Bottleneck', '')}*"
        out += [f"### [`{path.partition('/')[2]}`]({PurePath(source).name})", "", about, "", *busiest(report), ""]
    return out


def busiest(report: Report) -> list[str]:
    """The lines with most sectors and wavefronts."""
    lines = sorted(report.lines, key=lambda line: -(line.sectors + line.wavefronts or line.bytes / SECTOR))[:MOST_LINES]
    rows = [("file", "source", "access", "bytes", "requests", "sectors (ideal)", "wavefronts (ideal)", ""),
            ("---", "---", "---", "---:", "---:", "---:", "---:", "---")]
    for line in lines:
        source = text_of(line.file, line.line).replace("|", "\\|")
        rows.append((PurePath(line.file).name, f"`{source}`", access(line), f"{line.bytes:,}", f"{line.requests:,}",
                     of_ideal(line, "sectors"), of_ideal(line, "wavefronts"), ", ".join(line.marks)))
    return ["| " + " | ".join(row) + " |" for row in rows]


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


if __name__ == "__main__":
    main()
