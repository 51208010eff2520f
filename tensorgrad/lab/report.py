"""What a recording holds: a report of calls, each with its launches, each with its source lines, instructions and races.

Everything here was counted by the emulator, or follows from such counts: modelled, not measured on a GPU. Traffic is what the
kernels ask of the memory system, without caches.
"""
from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .occupancy import Occupancy

SECTOR = 32  # bytes the memory system moves at a time
NOTE = "modelled: counted by the emulator, not measured on a GPU; traffic is what the kernels ask for, without caches"


@dataclass(frozen=True)
class Line:
    """Accesses of one kind from one source line. A request is one instruction of a warp; `lanes` are those active, over all requests.

    Global accesses have sectors of 32 bytes, shared ones wavefronts (passes over the 32 banks); `ideal_*` is what the same bytes
    need at least. `conflicts` are lanes of an atomic that hit a word another lane of the request hits.
    """

    file: str
    line: int
    space: str  # global, shared
    access: str  # load, store, atomic
    via: str  # thread, cp.async, tma, tma store, ldmatrix, wgmma
    bytes_per_lane: int  # 0 for what has no lanes
    requests: int
    lanes: int
    bytes: int
    sectors: int
    ideal_sectors: int
    wavefronts: int
    ideal_wavefronts: int
    conflicts: int

    @property
    def marks(self) -> tuple[str, ...]:
        """What is wrong with these accesses. A row that starts inside a sector costs one sector more a request: that is not marked.

        Divergent is what fewer than half of the lanes take part in.
        """
        return (*(["uncoalesced"] if self.sectors - self.ideal_sectors > self.requests else []),
                *(["bank conflicts"] if self.wavefronts > self.ideal_wavefronts else []),
                *(["atomic conflicts"] if self.conflicts else []),
                *(["divergent"] if self.bytes_per_lane and self.lanes < 16 * self.requests else []))


@dataclass(frozen=True)
class Instruction:
    """Instructions of one kind from one source line, counted per warp; `lanes` are those active, over all of them."""

    file: str
    line: int
    kind: str
    count: int
    lanes: int


@dataclass(frozen=True)
class Side:
    """One of the two accesses of a race: where, by whom."""

    file: str
    line: int
    access: str
    agent: str
    block: tuple[int, ...]
    thread: tuple[int, ...]


@dataclass(frozen=True)
class Race:
    """Two accesses to the same memory that nothing orders (or, with no `first`, one to memory nobody wrote)."""

    kind: str
    space: str
    count: int
    first: Side | None
    second: Side
    where: str


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel."""

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    cluster: tuple[int, ...]
    dynamic_shared: int
    static_shared: int
    blocks: int
    warps: int
    failed: bool
    lines: tuple[Line, ...]
    instructions: tuple[Instruction, ...]
    sectors_read: int  # distinct ones of global memory: what a cache that keeps everything would fetch
    sectors_written: int
    races: tuple[Race, ...]
    occupancy: Occupancy | None = None
    registers_from: str = ""  # where the number of registers is from, or why it is unknown


@dataclass(frozen=True)
class Check:
    """An op's result against an oracle in float64: right, wrong or unchecked."""

    status: str
    error: float | None = None  # relative, in the Euclidean norm
    tolerance: float | None = None
    why: str = ""
    oracle: str = "the float64 reference"

    def __str__(self) -> str:
        if self.status == "unchecked":
            return f"unchecked: {self.why}"
        sign = "<=" if self.status == "right" else ">"
        return f"{self.status}: relative error to {self.oracle} {self.error:.2g} {sign} {self.tolerance:.2g}"


@dataclass(frozen=True)
class Call:
    """One call of an op, and the launches it made."""

    op: str
    kernel: str  # its path, cuda/v02_shared
    source: str
    arguments: str
    flops: float | None  # of the op's cost(); None where it does not say
    least_bytes: float | None
    check: Check
    launches: tuple[Launch, ...]


@dataclass
class Report:
    """What was recorded. Figures of calls whose result is wrong, or was not checked although that was asked for, are not printed."""

    calls: list[Call] = field(default_factory=list)
    checked: bool = True  # results were to be checked
    raced: bool = True  # races were looked for
    settings: dict[str, Any] = field(default_factory=dict)  # of the emulator: seed, eager

    @property
    def launches(self) -> list[Launch]:
        """All launches, in order."""
        return [launch for call in self.calls for launch in call.launches]

    @property
    def races(self) -> list[Race]:
        """All races found."""
        return [race for launch in self.launches for race in launch.races]

    @property
    def lines(self) -> list[Line]:
        """The accesses of all launches by source line, space, kind and width."""
        return merged((line for launch in self.launches for line in launch.lines),
                      ("requests", "lanes", "bytes", "sectors", "ideal_sectors", "wavefronts", "ideal_wavefronts", "conflicts"))

    @property
    def instructions(self) -> dict[str, int]:
        """Instructions of warps by kind."""
        counts: dict[str, int] = {}
        for launch in self.launches:
            for i in launch.instructions:
                counts[i.kind] = counts.get(i.kind, 0) + i.count
        return dict(sorted(counts.items()))

    @property
    def wrong(self) -> list[Call]:
        """Calls whose figures must not be trusted: a wrong result, or one that could not be checked although that was asked for."""
        return [c for c in self.calls if c.check.status == "wrong" or (self.checked and c.check.status == "unchecked")]

    @property
    def totals(self) -> dict[str, Any]:
        """Sums over all launches; ratios are None where there is nothing to divide by.

        `global_traffic` is what requests ask for, without caches; `footprint` the distinct sectors each launch reads and writes, the
        traffic behind a cache that keeps what a launch comes back to. `divergence` is the share of lanes that are idle while their
        warp accesses memory.
        """
        lines = self.lines
        on = {space: [line for line in lines if line.space == space] for space in ("global", "shared")}
        warps = [line for line in on["global"] if line.bytes_per_lane]  # what a TMA or wgmma moves at once is no request of a warp
        banked = [line for line in on["shared"] if line.bytes_per_lane]
        traffic = SECTOR * _sum(on["global"], "sectors")
        least = _known(c.least_bytes for c in self.calls)
        footprint = SECTOR * sum(launch.sectors_read + launch.sectors_written for launch in self.launches)
        issued = sum(line.requests for line in lines if line.bytes_per_lane)
        return {
            "global_bytes": _sum(on["global"], "bytes"),
            "global_traffic": traffic,
            "global_loads": SECTOR * _sum([line for line in on["global"] if line.access == "load"], "sectors"),
            "global_stores": SECTOR * _sum([line for line in on["global"] if line.access != "load"], "sectors"),
            "least_bytes": least,
            "traffic_to_least": _ratio(traffic, least or 0),
            "footprint": footprint,
            "footprint_to_least": _ratio(footprint, least or 0),
            "sectors_per_request": _per_request(warps, "sectors"),
            "ideal_sectors_per_request": _per_request(warps, "ideal_sectors"),
            "shared_bytes": _sum(on["shared"], "bytes"),
            "wavefronts_per_request": _per_request(banked, "wavefronts"),
            "ideal_wavefronts_per_request": _per_request(banked, "ideal_wavefronts"),
            "lanes_per_request": _per_request([line for line in lines if line.bytes_per_lane], "lanes"),
            "divergence": 1 - _sum([line for line in lines if line.bytes_per_lane], "lanes") / (32 * issued) if issued else None,
            "barriers": sum(n for kind, n in self.instructions.items() if kind.endswith("barrier")),
            "races": sum(race.count for race in self.races) if self.raced else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what was recorded, and the totals. `from_dict` reads it back."""
        return {"figures": NOTE, **dataclasses.asdict(self), "instructions": self.instructions, "totals": self.totals}

    def to_json(self, indent: int | None = 1) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """The report that `to_dict` wrote."""
        calls = [Call(**{**call, "check": Check(**call["check"]), "launches": tuple(launch_of(launch) for launch in call["launches"])})
                 for call in data["calls"]]
        return cls(calls, data["checked"], data["raced"], data["settings"])

    def __str__(self) -> str:
        from .table import text

        return text(self)


def launch_of(data: dict[str, Any], **more: Any) -> Launch:
    """A launch from plain data, as the recorder and `Report.to_dict` give it."""
    sides = ({**race, **{which: race[which] and Side(**{**race[which], "block": tuple(race[which]["block"]),
                                                       "thread": tuple(race[which]["thread"])}) for which in ("first", "second")}}
             for race in data["races"])
    known = data.get("occupancy")
    occupancy = Occupancy(**{**known, "limited_by": tuple(known["limited_by"])}) if known else None
    return Launch(**{**data, **{k: tuple(data[k]) for k in ("grid", "block", "cluster")},
                     "lines": tuple(Line(**line) for line in data["lines"]),
                     "instructions": tuple(Instruction(**i) for i in data["instructions"]),
                     "races": tuple(Race(**race) for race in sides), "occupancy": occupancy, **more})


def merged(rows: Iterable[Any], counts: tuple[str, ...]) -> list[Any]:
    """Rows that differ in nothing but their counts, added up; in the order of their first."""
    found: dict[tuple, Any] = {}
    for row in rows:
        key = tuple(v for k, v in vars(row).items() if k not in counts)
        seen = found.get(key)
        found[key] = row if seen is None else dataclasses.replace(seen, **{k: getattr(seen, k) + getattr(row, k) for k in counts})
    return list(found.values())


def _sum(lines: Iterable[Line], name: str) -> int:
    return sum(getattr(line, name) for line in lines)


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _per_request(lines: list[Line], name: str) -> float | None:
    return _ratio(_sum(lines, name), _sum(lines, "requests"))


def _known(values: Iterable[float | None]) -> float | None:
    found = list(values)
    return None if None in found or not found else sum(v for v in found if v is not None)
