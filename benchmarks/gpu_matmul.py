"""Every matmul rung next to cuBLAS on a CUDA GPU: `python benchmarks/gpu_matmul.py [--sizes 512 1024 ...] [--rungs v09_hopper ...]`.

The peer is `torch.matmul`, which calls cuBLAS, in the same precision: fp32 with TF32 off, TF32 on, bf16, fp16. For each size all
rungs and the peer take turns, each on operands that rotate through more memory than the L2 cache holds; the time is the median
over the turns of CUDA events. A rung is checked against float64 on sampled rows first: one that fails is not timed. The
figures go to benchmarks/results/<device>/matmul.json with what they were measured on.
"""
from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import torch

from tensorgrad import _cuda

TORCH = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}
NUMPY = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
BOUND = {"float32": 1e-6, "float64": 1e-14, "tf32": 1e-3, "float16": 1e-3, "bfloat16": 8e-3}  # relative error, about one rounding
ROTATED = 256 << 20  # bytes: several times an L2 cache


def seen(t: torch.Tensor) -> Any:
    """A torch tensor as the kernels see an array on the GPU."""
    name = str(t.dtype).removeprefix("torch.")
    return SimpleNamespace(dtype=np.dtype(NUMPY[name]), shape=tuple(t.shape), strides=tuple(s * t.element_size() for s in t.stride()),
                           data=SimpleNamespace(ptr=t.data_ptr()), __cuda_array_interface__={})


def relative_error(c: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> float:
    """Of up to 64 rows of c, against float64."""
    rows = torch.linspace(0, len(a) - 1, min(64, len(a)), device=a.device).long()
    want = a[rows].double() @ b.double()
    return float((c[rows].double() - want).norm() / want.norm())


def once(run: Any, operands: tuple) -> float:
    """Seconds of one call."""
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run(*operands)
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1e3


def measure(name: str, size: int, rungs: dict[str, Any], turns: int) -> dict[str, Any]:
    """Seconds of the peer and of each rung that passes its check, for one precision and size."""
    precision = "float32" if name == "tf32" else name
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    sets = max(1, ROTATED // (3 * size * size * TORCH[precision].itemsize))

    def operand() -> torch.Tensor:
        return torch.randn(size, size, device="cuda", dtype=torch.float32).to(TORCH[precision])

    data = [(torch.full((size, size), torch.nan, device="cuda", dtype=TORCH[precision]), operand(), operand()) for _ in range(sets)]
    runs: dict[str, Any] = {"cuBLAS (torch.matmul)": lambda c, a, b: torch.matmul(a, b, out=c)}
    for path, call in rungs.items():
        runs[path] = lambda c, a, b, call=call: call(seen(c), seen(a), seen(b))
    found: dict[str, Any] = {}
    for path, run in runs.items():
        c, a, b = data[0]
        c.fill_(torch.nan)
        try:
            run(c, a, b)
            torch.cuda.synchronize()
        except (ValueError, RuntimeError) as e:
            found[path] = {"refused": str(e)}
            continue
        error = relative_error(c, a, b)
        found[path] = {"error": error, "seconds": []} if error <= BOUND[name] else {"wrong": error}
    for turn in range(turns):
        for path, run in runs.items():
            if "seconds" in found[path] and not (turn and statistics.median(found[path]["seconds"]) * turn > 1):  # a slow rung: a second
                found[path]["seconds"].append(once(run, data[turn % sets]))
    return found


def answer(*command: str) -> str:
    """What a command prints, or why it did not."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as e:
        return str(e)


def main() -> None:
    """Print a line per rung and size, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[512, 1024, 2048, 4096, 8192], help="M = N = K")
    parser.add_argument("--rungs", nargs="*", default=[], help="e.g. v09_hopper; all if none is given")
    parser.add_argument("--precisions", nargs="*", default=["float32", "tf32", "bfloat16", "float16"])
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--out", type=Path, help="the file to write")
    options = parser.parse_args()
    device = torch.cuda.get_device_name()
    _cuda.set_stream(torch.cuda.current_stream().cuda_stream)
    kernels = [(path, types.split(), call) for op, path, types, _, _, call, *_ in _cuda.kernels() if op == "matmul"
               if path.partition("/")[2] in options.rungs or (not options.rungs and "/v" in path)]  # the others are for other shapes
    results = []
    for name in options.precisions:
        rungs = {path: call for path, types, call in kernels
                 if ("float32" if name == "tf32" else name) in types and path.endswith("tf32") == (name == "tf32")}
        for size in options.sizes:
            found = measure(name, size, rungs, options.turns)
            peer = statistics.median(next(iter(found.values()))["seconds"])
            for path, entry in found.items():
                results.append({"kernel": path, "precision": name, "size": size, **entry})
                if "seconds" in entry:
                    seconds = statistics.median(entry["seconds"])
                    entry = f"{2 * size**3 / seconds / 1e12:8.1f} TFLOP/s {peer / seconds:6.3f} x cuBLAS"
                print(f"{name:9} {size:6}^3 {path:32} {entry}", flush=True)
    out = options.out or Path(__file__).parent / "results" / device.replace(" ", "_") / "matmul.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {"device": device, "torch": torch.__version__, "cuda": torch.version.cuda, "commit": answer("git", "rev-parse", "HEAD"),
             "card": answer("nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv"),
             "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    out.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
