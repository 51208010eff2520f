"""A convolution's memory beside its inputs and outputs stays bounded, whatever the image: measured as peak RSS of a process."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, re, sys
import numpy as np
import tensorgrad as tg
from tensorgrad.nn import functional as F

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

def peak(f):
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts again from what is in use
    before = status("VmRSS")
    kept = f()
    return kept, status("VmHWM") - before

rung = sys.argv[1]
rng = np.random.default_rng(0)
warm = F.conv2d(tg.ones(1, 64, 9, 9).requires_grad_(), tg.ones(64, 64, 3, 3).requires_grad_(), padding=1)
warm.sum().backward()
x = tg.from_numpy(rng.random((8, 64, 224, 224), np.float32)).requires_grad_()
w = tg.from_numpy(rng.random((64, 64, 3, 3), np.float32)).requires_grad_()
g = tg.from_numpy(rng.random((8, 64, 224, 224), np.float32))
with tg.kernels.use("conv2d", rung):
    y, forward = peak(lambda: F.conv2d(x, w, padding=1))
    _, backward = peak(lambda: y.backward(g))
print(json.dumps({"forward": forward - y.nbytes, "backward": backward - x.grad.nbytes - w.grad.nbytes}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("rung", ["cpu/implicit", "cpu/im2col"])
def test_peak_memory(rung):
    """3x3, 64 -> 64 channels at 8 x 64 x 224 x 224: at most 128 MB beyond inputs and outputs, forward and backward."""
    try:
        open("/proc/self/clear_refs", "w").close()
    except OSError:
        pytest.skip("this system does not tell the peak of a part of a process")
    done = subprocess.run([sys.executable, "-c", SCRIPT, rung], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    extra = json.loads(done.stdout)
    for direction, size in extra.items():
        assert size <= 128 << 20, f"{direction}: {size / 2**20:.0f} MB beyond inputs and outputs"
