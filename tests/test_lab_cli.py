"""The lab on the command line: tables, JSON, comparisons, wrong calls in one line."""
from __future__ import annotations

import json
import shutil

import pytest
from commands import fails, run

from tensorgrad import dispatch

pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
from tensorgrad.lab.build import disassembler

RUNGS = sorted(k.path for k in dispatch.kernels_of("emu")["matmul"].values() if k.device == "emu")


def test_command(capsys):
    result = run(capsys, "lab", "matmul", "--kernel", "v02_shared", "--shape", "64x32", "--shape", "32x64")
    assert result.code == 0
    assert "modelled" in result.out
    assert "As[y][x]" in result.out
    data = json.loads(run(capsys, "lab", "matmul", "--kernel", "v02_shared", "--shape", "64x32", "--shape", "32x64", "--json").out)
    assert data["totals"]["global_stores"] == 4 * 64 * 64
    assert data["figures"].startswith("modelled")


def test_command_compares_and_lists(capsys):
    result = run(capsys, "lab", "matmul", "--shape", "20x12", "--shape", "12x24", "--no-races")
    assert result.code == 0
    assert [line.split()[0] for line in result.out.splitlines() if line.startswith("cuda/")] == RUNGS
    listed = run(capsys, "lab", "matmul")
    assert "one thread per element of C" in listed.out
    assert [row["kernel"] for row in json.loads(run(capsys, "lab", "matmul", "--json").out)] == RUNGS
    rows = json.loads(run(capsys, "lab", "matmul", "--shape", "20x12", "--shape", "12x24", "--dtype", "float64", "--json").out)
    assert rows["cuda/v07_double_buffered"] == "does not compute float64"
    assert rows["cuda/v00_naive"]["totals"]["races"] == 0


@pytest.mark.skipif(not (shutil.which("nvcc") and disassembler()), reason="nvcc and nvdisasm are not on this machine")
def test_command_counts_machine_code(capsys):
    arguments = ("lab", "matmul", "--kernel", "v02_shared", "--shape", "32x32", "--shape", "32x32", "--code", "--arch", "sm_80")
    (counts,) = json.loads(run(capsys, *arguments, "--json").out)["machine_code"].values()
    assert counts["FFMA"] == 32  # the unrolled loop over a tile
    assert "machine code, static: matmul_shared<float>: 32 FFMA, " in run(capsys, *arguments).out


def test_command_in_one_line_where_it_is_wrong(capsys):
    assert "near it: matmul" in fails(capsys, "lab", "matmull", "--shape", "3x4")
    assert "needs its operands" in fails(capsys, "lab", "matmul", "--kernel", "v00_naive")
    assert "--shape '3y4' is none of" in fails(capsys, "lab", "matmul", "--shape", "3y4")
    assert "matmul: dim 1 of (3, 4) is 4 but dim 0 of (5, 6) is 5" in fails(
        capsys, "lab", "matmul", "--kernel", "v00_naive", "--shape", "3x4", "--shape", "5x6")
    assert "'stride' is not of the form name=value" in fails(
        capsys, "lab", "matmul", "--shape", "3x4", "--shape", "4x6", "--option", "stride")
    assert "arch 'sm_1' is none of" in fails(
        capsys, "lab", "matmul", "--kernel", "v00_naive", "--shape", "3x4", "--shape", "4x6", "--arch", "sm_1")


def test_doctor_names_the_lab(capsys):
    assert "lab built (extension _lab)" in run(capsys, "doctor").out
