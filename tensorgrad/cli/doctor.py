"""`tensorgrad doctor`: what this machine has, which kernels will run, and why."""
from __future__ import annotations

import importlib.metadata
import importlib.util
import json as json_module
import os
import platform
import sys
from typing import Annotated, Any

import typer

OPTIONAL = ("triton", "torch", "threadpoolctl", "matplotlib", "pillow", "rich", "safetensors", "scikit-learn", "pytest")


def doctor(json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """Say what this machine has, which kernels will run on it, and why."""
    report = examine()
    if json:
        print(json_module.dumps(report, indent=2))
        return
    for title, rows in report.items():
        print(title)
        for name, text in _choices(rows) if isinstance(rows, list) else rows.items():
            print(f"  {name:<30} {text}")
        print()


def examine() -> dict[str, Any]:
    """All findings, by section."""
    return {"software": _software(), "processor": _processor(), "memory": _memory(), "devices": _devices(), "folders": _folders(),
            "packages": _packages(), "kernels": _kernels()}


def _software() -> dict[str, str]:
    import numpy as np

    from .. import __file__ as where
    from .. import __version__

    rows = {"python": f"{platform.python_version()} ({sys.executable})", "system": platform.platform(),
            "tensorgrad": f"{__version__} ({os.path.dirname(where)})", "numpy": np.__version__}
    try:
        from threadpoolctl import threadpool_info

        for pool in threadpool_info():
            if pool["user_api"] == "blas":
                rows["blas behind numpy"] = (f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', '?')}, "
                                             f"{pool['num_threads']} threads")
    except ImportError:
        rows["blas behind numpy"] = "unknown: threadpoolctl is not installed"
    return rows


def _processor() -> dict[str, str]:
    from .. import get_num_threads
    from ..backends import cpu

    flags = cpu.cpu_flags()
    rows = {"model": _cpu_model(), "cores": f"{os.cpu_count()}, {len(os.sched_getaffinity(0))} of them for this process"}
    for isa in cpu.ISAS:
        module = f"tensorgrad._cpu_{isa}"
        lacks = cpu.NEEDS[isa] - flags
        if isa == cpu.isa:
            asked = os.environ.get("TG_CPU_ISA")
            text = "in use: " + (f"TG_CPU_ISA={asked} asks for it" if asked else "the best build here that this processor can run")
        elif lacks:
            text = f"not possible: this processor lacks {', '.join(sorted(lacks))}"
        elif importlib.util.find_spec(module) is None:
            text = "not built"
        else:
            text = f"present; TG_CPU_ISA={isa} picks it"
        rows[f"{isa} kernels"] = text
    variable = os.environ.get("OMP_NUM_THREADS")
    why = f"OMP_NUM_THREADS={variable}" if variable else "all cores; OMP_NUM_THREADS is not set"
    rows["threads"] = f"{get_num_threads()} ({why})"
    return rows


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> dict[str, str]:
    found: dict[str, int] = {}
    try:
        with open("/proc/meminfo") as f:
            found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in f if line.startswith(("MemTotal", "MemAvailable"))}
    except (OSError, ValueError, IndexError):
        return {"memory": "unknown: /proc/meminfo cannot be read"}
    return {"total": f"{found.get('MemTotal', 0) / 2**30:.1f} GiB", "available": f"{found.get('MemAvailable', 0) / 2**30:.1f} GiB"}


def _devices() -> dict[str, str]:
    from .. import backends, device

    rows = {}
    for name in backends.NAMES:
        try:
            device(name)
            rows[name] = "present: " + "; ".join(f"{k} {v}" for k, v in backends.load(name).describe())
        except (ImportError, RuntimeError, ValueError, OSError) as e:
            rows[name] = f"absent: {' '.join(str(e).split())}"
    return rows


def _folders() -> dict[str, str]:
    from ..data.fetch import cache_folder

    folder = cache_folder()
    why = "from TG_CACHE" if os.environ.get("TG_CACHE") else "TG_CACHE sets another"
    try:
        holds = "holds " + (", ".join(sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))) or "nothing")
    except FileNotFoundError:
        holds = "holds nothing"
    except OSError as e:
        holds = f"cannot be read: {e.strerror}"
    return {"cache": f"{folder} ({why}); {holds}", "tuned Triton kernels": _tuned()}


def _tuned() -> str:
    """Which GPUs there are measured configurations of Triton kernels for, and files that are none."""
    from ..triton import tuned

    said = []
    for whose, folder, none in (("in the package", tuned.SHIPPED, "none: not yet measured on a GPU"),
                                ("yours", tuned.kept("").parent, "none: tensorgrad tune makes some")):
        files = sorted(folder.glob("*.json"))
        said.append(f"{whose} {', '.join(tuned.read(f, f.stem)[1] or f.stem for f in files) or none}")
    return "; ".join(said)


def _packages() -> dict[str, str]:
    from ..cuda import driver

    rows = {"cupy": driver.examine().cupy or "not installed"}
    for name in OPTIONAL:
        try:
            rows[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            rows[name] = "not installed"
    return rows


def _kernels() -> list[dict[str, str]]:
    """For each op with kernels the one that is tried first, and why."""
    from .. import dispatch
    from .kernels import table

    rows = []
    for row in table():
        if row["runs"]:
            op = dispatch._ops[row["op"]]
            others = len(dispatch.ordered(op, row["device"])) - 1
            if row["chosen_by"]:
                why = f"{row['chosen_by']} asks for it"
            elif not others:
                why = "the only one"
            else:
                why = ("first of the op's defaults" if row["path"] in op.defaults else "newest rung") + f"; {others} more"
            rows.append({"op": row["op"], "device": row["device"], "kernel": row["path"], "why": why})
    return rows


def _choices(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    """The kernels as lines; ops that have nothing to choose share one for each kernel."""
    lines = [(row["op"], f"{row['device']}: {row['kernel']} ({row['why']})") for row in rows if row["why"] != "the only one"]
    alone = [row for row in rows if row["why"] == "the only one"]
    for device, kernel in sorted({(row["device"], row["kernel"]) for row in alone}):
        ops = [row["op"] for row in alone if (row["device"], row["kernel"]) == (device, kernel)]
        lines.append((f"{len(ops)} ops" if len(ops) > 1 else ops[0], f"{device}: {kernel} (the only one" + (
            f"): {', '.join(ops)}" if len(ops) > 1 else ")")))
    return lines
