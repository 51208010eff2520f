"""Thread counts: the environment, the setter, wrong values."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest

import tensorgrad as tg


def test_follows_the_environment():
    code = "import tensorgrad as tg; print(tg.get_num_threads())"
    env = {**os.environ, "OMP_NUM_THREADS": "3"}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout.strip() == "3"


def test_set_num_threads_reaches_kernels_and_blas():
    from threadpoolctl import threadpool_info

    before = tg.get_num_threads()
    try:
        tg.set_num_threads(1)
        assert tg.get_num_threads() == 1
        assert {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"} <= {1}
    finally:
        tg.set_num_threads(before)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
def test_wrong_counts_are_refused(wrong):
    with pytest.raises(ValueError, match="set_num_threads: expected a positive integer"):
        tg.set_num_threads(wrong)
