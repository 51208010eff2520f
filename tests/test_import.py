"""`import tensorgrad` is quick, light, and survives any machine."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tensorgrad.backends import cpu


def run(code, **env):
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True)


def test_import_takes_well_under_a_second():
    code = "import numpy, time; t = time.process_time(); import tensorgrad; print(time.process_time() - t)"  # busy machines do not count
    seconds = min(float(run(code).stdout) for _ in range(3))
    assert seconds < 0.5


def test_import_pulls_in_nothing_heavy():
    heavy = "torch matplotlib PIL typer rich safetensors threadpoolctl scipy cupy triton hypothesis"
    code = f"import sys, tensorgrad; print(' '.join(m for m in '{heavy}'.split() if m in sys.modules))"
    assert run(code).stdout.strip() == ""


def test_import_leaves_the_environment_alone():
    code = "import os; before = dict(os.environ); import tensorgrad; assert dict(os.environ) == before"
    assert run(code).returncode == 0


@pytest.mark.parametrize("isa", [i for i in cpu.ISAS if cpu.NEEDS[i] <= cpu.cpu_flags()])
def test_each_build_this_machine_can_run(isa):
    try:
        __import__(f"tensorgrad._cpu_{isa}")
    except ModuleNotFoundError:
        pytest.skip(f"the build for {isa} was left out of this development build")
    code = "import tensorgrad as tg, tensorgrad.backends.cpu as c; print(c.isa, (tg.ones(3) * 2.0).exp().sum().item() > 22)"
    assert run(code, TG_CPU_ISA=isa).stdout.split() == [isa, "True"]


def test_an_unknown_build_is_refused_by_name():
    result = run("import tensorgrad", TG_CPU_ISA="sse9")
    assert "TG_CPU_ISA='sse9' is none of avx512, avx2, plain" in result.stderr


def test_a_missing_build_says_what_to_do(tmp_path):
    """A checkout that was never installed."""
    import shutil

    import tensorgrad

    root = os.path.dirname(tensorgrad.__file__)
    shutil.copytree(root, tmp_path / "tensorgrad", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    result = subprocess.run([sys.executable, "-c", "import tensorgrad"], cwd=tmp_path, capture_output=True, text=True)
    assert "pip install ." in result.stderr
