"""`import tensorgrad` is quick, light, and survives any machine."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

import tensorgrad
from tensorgrad.backends import cpu


def run(code, **env):
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True)


def test_import_takes_well_under_a_second(tmp_path):
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}  # as installing leaves it
    run("import tensorgrad", **compiled)
    code = "import numpy, time; t = time.process_time(); import tensorgrad; print(time.process_time() - t)"  # busy machines do not count
    seconds = min(float(run(code, **compiled).stdout) for _ in range(3))
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


@pytest.fixture
def bare_checkout(tmp_path):
    """The package's Python files alone, as in a checkout that was never built in place."""
    root = os.path.dirname(tensorgrad.__file__)
    shutil.copytree(root, tmp_path / "tensorgrad", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return tmp_path


def test_a_missing_build_says_what_to_do(bare_checkout):
    code = "import importlib.metadata as m; m.files = lambda name: []; import tensorgrad"
    result = run(code, PYTHONPATH=str(bare_checkout))
    assert "ImportError: tensorgrad's C++ kernels (_cpu_" in result.stderr
    assert "Run `pip install .` in the checkout" in result.stderr


def test_a_checkout_uses_the_kernels_of_the_installed_package_and_says_so(bare_checkout):
    """What somebody meets who ran `pip install .` and starts Python in the same folder."""
    built = [f for f in os.listdir(os.path.dirname(tensorgrad.__file__)) if f.startswith("_cpu_")]
    code = f"""import importlib.metadata as m, pathlib
class File(type(pathlib.Path())):
    def locate(self): return pathlib.Path(self)
m.files = lambda name: [File({os.path.dirname(tensorgrad.__file__)!r}, f) for f in {built!r}]
import tensorgrad as tg
print(tg.ones(2).exp().sum().item() > 5, tg.__file__)"""
    result = run(code, PYTHONPATH=str(bare_checkout))
    assert result.stdout.split() == ["True", str(bare_checkout / "tensorgrad" / "__init__.py")], result.stderr
    assert "with the compiled kernels of the installed package" in result.stderr
