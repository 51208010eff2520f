"""The ladders' tests for a GPU, some of them, on a double of one: a test that no machine runs is not known to be one. Which launches a GPU
refuses, and what it computes, the double does not say.
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
HERE = Path(__file__).parent
PROGRAM = """
import sys
sys.path.insert(0, ".")
import cupy_double, pytest
with cupy_double.installed():
    sys.exit(pytest.main(["-o", "addopts=", "-p", "no:cacheprovider", "-k", sys.argv[2], sys.argv[1]]))
"""
CHOSEN = {
    "matmul": "(test_batches and split_k) or (every_time and v03)",
    "conv": "test_shapes_and_layouts and v03_tensor_core and bfloat16",
    "attention": "(test_masks_and_groups and pairs and bfloat16) or (processor and float32)",
}


@pytest.mark.parametrize("ladder", CHOSEN)
def test_on_the_double(ladder):
    done = subprocess.run([sys.executable, "-c", PROGRAM, HERE / f"test_gpu_{ladder}.py", CHOSEN[ladder]], capture_output=True, text=True,
                          cwd=HERE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
