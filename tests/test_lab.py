"""The lab through its public face: closed forms, checked results, races, wrong calls, tables, JSON. Commands: tests/test_lab_cli.py."""
from __future__ import annotations

import json

import numpy as np
import pytest
from commands import fails, run
from sampling import CASES, case_id, cloned, leaf, realise, rng_for, tensors_in

import tensorgrad as tg
from tensorgrad import dispatch
from tensorgrad.cases import T
from tensorgrad.errors import UserError
from tensorgrad.op import OBSERVERS

pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
from tensorgrad.lab import recorder
from tensorgrad.lab.check import check
from tensorgrad.lab.registers import key
from tensorgrad.lab.table import text

RUNGS = sorted(k.path for k in dispatch.kernels_of("emu")["matmul"].values() if k.device == "emu")


# ---------------------------------------------------------------- closed forms


def test_naive_matmul_moves_what_the_formula_says():
    """A warp is 16 rows and 2 columns of C: 16 sectors of A and one of B for each k, and 16 sectors of C."""
    m, n, k = 64, 32, 24
    report = tg.lab.profile("matmul", "cuda/v00_naive", (m, k), (k, n))
    warps = m * n // 32
    assert report.totals["global_loads"] == 32 * warps * k * (16 + 1)
    assert report.totals["global_stores"] == 32 * warps * 16
    assert report.totals["global_bytes"] == 4 * m * n * (2 * k + 1)
    assert report.totals["least_bytes"] == 4 * (m * k + k * n + m * n)
    assert report.totals["traffic_to_least"] == report.totals["global_traffic"] / report.totals["least_bytes"]
    assert report.instructions["global load"] == 2 * k * warps
    assert report.totals["lanes_per_request"] == 32


def test_shared_matmul_moves_what_the_formula_says():
    """Each 32 x 32 tile of C reads a strip of A and one of B once; all requests are whole, no bank serves two lanes."""
    m, n, k = 64, 96, 64
    report = tg.lab.profile("matmul", "v02_shared", (m, k), (k, n))
    blocks, steps, warps = m * n // 1024, k // 32, 32
    assert report.totals["global_loads"] == 2 * 4 * m * n * k // 32
    assert report.totals["global_stores"] == 4 * m * n
    assert report.totals["sectors_per_request"] == report.totals["ideal_sectors_per_request"] == 4
    assert report.instructions["barrier"] == blocks * steps * warps * 2
    assert report.totals["wavefronts_per_request"] == report.totals["ideal_wavefronts_per_request"]
    assert not [line.marks for line in report.lines if line.marks]


def test_uncoalesced_accesses_are_marked():
    def marked(kernel, **settings):
        report = tg.lab.profile("matmul", kernel, (32, 64), (64, 32), **settings)
        return {line.line for line in report.lines if "uncoalesced" in line.marks}

    assert marked("v00_naive")  # down a column of A
    assert not marked("v01_coalesced")
    assert marked("v01_coalesced", layout="NT")  # B transposed in memory: its rows are no rows any more
    assert not marked("v02_shared")


def test_lines_have_their_source():
    report = tg.lab.profile("matmul", "v00_naive", (16, 8), (8, 16))
    shown = text(report, width=200)
    assert "sum += p.A(row, k) * p.B(k, column);" in shown
    assert {line.file for line in report.lines} <= {"csrc/cuda/matmul/v00_naive.cu", "csrc/cuda/matmul/problem.h"}
    loads = [row for row in shown.splitlines() if row.startswith(("v00_naive.cu:", "problem.h:")) and "global load" in row]
    assert len(loads) == 2  # of A and of B: what is inlined from an accessor may count for the accessor's line
    assert sum("uncoalesced" in row for row in loads) == 1


@pytest.mark.parametrize("path", RUNGS)
def test_every_rung_is_recorded_and_right(path):
    report = tg.lab.profile("matmul", path, (48, 40), (40, 56))
    assert [c.check.status for c in report.calls] == ["right"]
    assert report.totals["global_traffic"] >= 4 * 48 * 56 / 2
    assert report.totals["races"] == 0
    assert report.calls[0].kernel == path
    assert {launch.registers_from for launch in report.launches} == {"nvcc for sm_90a"}  # recorded with the package


@pytest.mark.parametrize("path", RUNGS)
@pytest.mark.parametrize(("operands", "layout"), [(((40, 72), (72,)), "NN"), (((72,), (72, 40)), "NN"), (((40, 72), (72, 40)), "TN"),
                                                  (((40, 71), (71, 40)), "NT")])
def test_no_rung_races_whatever_the_layout(path, operands, layout):
    """Operands that a rung fetches in different ways, by TMA and by hand for example."""
    report = tg.lab.profile("matmul", path, *operands, layout=layout)
    assert report.wrong == []
    assert report.races == [], report


KERNELS = [k for op in dispatch.kernels_of("emu").values() for k in op.values() if k.device == "emu"]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.op} {k.path}")
def test_every_kernel_of_every_op(kernel):
    """On the op's own cases: recorded, right, no race."""
    op, dtype = dispatch._ops[kernel.op], next((t for t in ("float32", "bfloat16", "float64") if t in kernel.dtypes), None)

    def for_kernel(case):  # one with floats, in a dtype the kernel computes; integers as they are
        types = [t.dtype for a in case.args for t in (a if isinstance(a, list) else [a]) if isinstance(t, T)]
        return "float" in types if dtype else bool(types) and all(t in kernel.dtypes for t in types)

    good = [case for o, case in CASES if o is op and case.error is None and for_kernel(case)]

    def on_emu(spec, array):
        return tg.tensor(array, dtype=dtype if spec.dtype == "float" else None, device="emu")

    if not good:
        pytest.skip(f"the op has no cases of its own; it is tested in {getattr(op, 'tested_in', '?')}")
    refused = "the op's cases are empty: nothing to launch"
    with tg.kernels.use(op.name, kernel.path), tg.lab.record() as report, tg.no_grad():
        for case in good[:: max(len(good) // 4, 1)]:
            args, kwargs = realise(case, rng_for(op, case), on_emu)
            try:
                op.call(*args, **kwargs)
            except dispatch.NoKernel as e:  # a layout, say, that the rung leaves to others
                refused = str(e)
    if not report.launches:
        pytest.skip(refused)
    assert {c.check.status for c in report.calls} == {"right"}, report
    # A lane may read what nobody wrote if it drops it (columns beyond a head's size): that memory is NaN here, and the result is right.
    assert [race for race in report.races if race.kind != "uninitialised"] == []


def test_a_shape_without_elements_launches_nothing():
    report = tg.lab.profile("matmul", "v00_naive", (0, 3), (3, 2))
    assert report.launches == []
    assert "no launch" in str(report)


# ---------------------------------------------------------------- recording


def step(device="emu"):
    """The loss of a two-layer perceptron after one step of gradient descent."""
    rng = np.random.default_rng(0)
    x, y, w1, w2 = (tg.tensor(rng.standard_normal(s).astype(np.float32), device=device) for s in ((16, 20), (16, 3), (20, 24), (24, 3)))
    w1.requires_grad_()
    w2.requires_grad_()
    loss = (((x @ w1).relu() @ w2 - y) ** 2).mean()
    loss.backward()
    with tg.no_grad():
        w1 -= 0.01 * w1.grad
        w2 -= 0.01 * w2.grad
        return (((x @ w1).relu() @ w2 - y) ** 2).mean().item()


def test_a_training_step_is_recorded_and_its_result_stays():
    with tg.lab.record() as report:
        loss = step()
    assert loss == step()
    assert loss == pytest.approx(step("cpu"), rel=1e-5)
    products = [c for c in report.calls if c.op == "matmul"]
    assert len(products) == 2 + 3 + 2  # forward; dw1, dw2 and the gradient of the hidden layer; forward again
    assert {c.check.status for c in report.calls} == {"right"}
    assert products[0].arguments == "float32 (16, 20), (20, 24)"
    assert products[0].least_bytes == 4 * (16 * 20 + 20 * 24 + 16 * 24)
    assert report.totals["global_traffic"] == sum(32 * line.sectors for line in report.lines if line.space == "global")
    assert "all calls" in str(report)


def test_an_op_without_a_reference_is_checked_against_its_cpu_kernels():
    x, w = (tg.randn(*s, device="emu").requires_grad_() for s in ((2, 4, 6, 6), (6, 4, 3, 3)))
    state = tg.get_rng_state()
    with tg.lab.record() as report:
        tg.nn.functional.conv2d(x, w, padding=1).sum().backward()
    checks = {c.op: str(c.check) for c in report.calls}
    assert "right: relative error to the float64 reference" in checks["conv2d"]
    assert "right: relative error to the cpu kernels in float64" in checks["conv2d_input_grad"]
    assert tg.get_rng_state() == state


def test_recording_leaves_no_trace():
    table, observers = dispatch.kernels_of("emu"), list(OBSERVERS)
    with pytest.raises(RuntimeError, match="dim 1 of"), tg.lab.record():
        tg.ones(2, 3, device="emu") @ tg.ones(4, 5, device="emu")
    assert dispatch.kernels_of("emu") is table
    assert list(OBSERVERS) == observers
    with tg.lab.record() as report:
        pass
    assert report.calls == []


def test_recordings_do_not_nest():
    with tg.lab.record(), pytest.raises(RuntimeError, match="recordings do not nest"), tg.lab.record():
        pass
    with tg.lab.record():  # and the one that failed holds nothing
        pass


def test_the_emulators_settings_reach_the_lab():
    emu = pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
    emu.configure(seed=5, eager=True)
    try:
        report = tg.lab.profile("matmul", "v02_shared", (40, 8), (8, 40))
        assert recorder.extension().settings()[:2] == (5, True)
    finally:
        emu.configure(seed=0, eager=False)
    assert report.settings == {"seed": 5, "eager": True, "arch": "sm_90"}
    again = tg.lab.profile("matmul", "v02_shared", (40, 8), (8, 40))
    assert again.lines == report.lines  # what is counted does not depend on the order of threads


def test_metrics_and_races_can_be_left_out():
    with tg.lab.record(metrics=False) as report:
        step()
    assert report.lines == []
    assert report.totals["races"] == 0
    report = tg.lab.profile("matmul", "v02_shared", (32, 32), (32, 32), races=False)
    assert report.totals["races"] is None
    assert "races" not in text(report)


# ---------------------------------------------------------------- the oracle


class Tampered:
    """The lab's module with one kernel whose results are spoilt, or which fails."""

    def __init__(self, path, spoil):
        self.lab, self.path, self.spoil = recorder.extension(), path, spoil

    def __getattr__(self, name):
        return getattr(self.lab, name)

    def kernels(self):
        def spoilt(call):
            def run(out, *args):
                call(out, *args)
                self.spoil(out)
            return run

        return [(*row[:5], spoilt(row[5]), *row[6:]) if row[1] == self.path else row for row in self.lab.kernels()]


def tamper(monkeypatch, path, spoil):
    tampered = Tampered(path, spoil)
    monkeypatch.setattr(recorder, "extension", lambda: tampered)


def test_no_figure_for_a_wrong_result(monkeypatch, capsys):
    def spoil(out):
        out[0, 0] += 1

    tamper(monkeypatch, "cuda/v00_naive", spoil)
    report = tg.lab.profile("matmul", "v00_naive", (16, 8), (8, 16))
    assert report.wrong == report.calls
    shown = str(report)
    assert "WRONG RESULT" in shown
    assert "global traffic" not in shown
    assert "sum +=" not in shown
    assert run(capsys, "lab", "matmul", "--kernel", "v00_naive", "--shape", "16x8", "--shape", "8x16").code == 1
    result = run(capsys, "lab", "matmul", "--shape", "16x8", "--shape", "8x16")
    assert result.code == 1
    assert "cuda/v00_naive: WRONG RESULT: relative error to the float64 reference" in result.out
    trusted = tg.lab.profile("matmul", "v00_naive", (16, 8), (8, 16), check=False)
    assert "unchecked: not asked for" in str(trusted)
    assert "global traffic" in str(trusted)


def test_a_kernel_that_fails(monkeypatch, capsys):
    def trap(out):
        raise RuntimeError("matmul (cuda/v00_naive): illegal access")

    tamper(monkeypatch, "cuda/v00_naive", trap)
    with pytest.raises(tg.lab.KernelFault, match="illegal access"):
        tg.lab.profile("matmul", "v00_naive", (16, 8), (8, 16))
    assert "illegal access" in fails(capsys, "lab", "matmul", "--kernel", "v00_naive", "--shape", "3x4", "--shape", "4x3", code=1)
    assert "illegal access" in tg.lab.compare("matmul", (16, 8), (8, 16))["cuda/v00_naive"]


def test_the_oracle_takes_every_case_of_every_op():
    """What an op was called with is put before its reference as the reference takes it, and the verdict is `right`; its cost is known."""
    verdicts = []

    def observe(ctx, out, args):
        if ctx.op is watched:
            given, options = recorder.as_called(ctx.op, args)
            assert min(ctx.op.cost(*given, **options)) >= 0
            verdicts.append((case_id((watched, case)), check(ctx.op, given, options, out, "cpu/x", before)))

    OBSERVERS.append(observe)
    try:
        for watched, case in CASES:
            if case.error is not None or watched.composite:
                continue
            args, kwargs = realise(case, rng_for(watched, case), leaf("float32"))
            with tg.no_grad():
                if watched.mutates:
                    args = [cloned(args[0]), *args[1:]]
                before = [(t.array, t.array.copy()) for t in tensors_in(args, {})] if watched.mutates else []
                watched.call(*args, **kwargs)
    finally:
        OBSERVERS.remove(observe)
    assert len(verdicts) > 500
    assert [v for v in verdicts if v[1].status != "right"] == []


# ---------------------------------------------------------------- reports


def test_json_round_trip():
    report = tg.lab.profile("matmul", "v08_tensor_core", (40, 24), (24, 72))
    data = json.loads(report.to_json())
    assert tg.lab.Report.from_dict(data) == report
    assert data["figures"].startswith("modelled")
    assert data["totals"] == report.totals


def test_the_table(monkeypatch):
    shown = text(tg.lab.profile("matmul", "v02_shared", (64, 64), (64, 64)), width=140)
    assert shown.startswith("modelled: counted by the emulator, not measured on a GPU")
    assert "As[y][x] = row < p.M" in shown
    assert "result right: relative error" in shown
    assert "occupancy           100% of 64 warps on sm_90: 2 blocks of 32 warps" in shown
    assert "races               none found" in shown
    assert max(map(len, shown.splitlines())) <= 140
    assert max(map(len, text(tg.lab.profile("matmul", "v02_shared", (64, 64), (64, 64)), width=120).splitlines())) <= 120


def test_names_of_kernels_agree():
    assert key("tg::matmul::k<__nv_bfloat16, true, (int)3>") == key("k<__nv_bfloat16, 1, 3>") == "k<__nv_bfloat16,1,3>"


def test_hopper_kernels_have_no_occupancy_elsewhere():
    (launch,) = tg.lab.profile("matmul", "v09_hopper", (64, 64), (64, 64), arch="sm_80").launches
    assert launch.occupancy is None
    assert "does not run on sm_80: it needs compute capability 9.0" in launch.registers_from


# ---------------------------------------------------------------- wrong calls


@pytest.mark.parametrize(("arguments", "settings", "message"), [
    (("matmull",), {}, r"there is no op 'matmull'; near it: matmul"),
    (("matmul", "v99", (3, 3), (3, 3)), {}, r"matmul has no CUDA kernel 'v99'; there are: .*cuda/v00_naive"),
    (("matmul", "v00_naive", (3, 3)), {}, r"matmul\(input, other\) cannot be called with 1 operands .* a required argument: 'other'"),
    (("matmul", "v00_naive", (3, 3), (3, 3)), {"dtype": "float7"}, r"no dtype 'float7'; kernels of matmul compute bfloat16, float16"),
    (("matmul", "v00_naive", (3, 3), (3, 3)), {"dtype": "bfloat16"}, r"cuda/v00_naive does not compute bfloat16"),
    (("matmul", "v00_naive", (3, 3), "4x4"), {}, r"an operand is a shape.* not '4x4'"),
    (("matmul", "v00_naive", (3, 3), (3, -1)), {}, r"an operand is a shape"),
    (("matmul", "v00_naive", (3, 3), (3, 3)), {"layout": "NQ"}, r"layout 'NQ' must have a letter for each of the 2 operands: N as it is"),
    (("matmul", "v00_naive", (3, 3), (3, 3)), {"stride": 2}, r"the options stride: got an unexpected keyword argument 'stride'"),
    (("matmul", "v00_naive", (3, 3), (3, 3)), {"arch": "sm_70"}, r"arch 'sm_70' is none of sm_75"),
    (("squeeze", "v00_naive", (3, 3)), {}, r"squeeze has no CUDA kernel of its own; ops that have some: .*matmul"),
    (("squeeze", None, (3, 3)), {}, r"squeeze launched no CUDA kernel on emu"),
])
def test_wrong_calls(arguments, settings, message):
    with pytest.raises((UserError, ValueError), match=message):
        tg.lab.profile(*arguments, **settings)


def test_the_op_refuses_what_it_always_refuses():
    with pytest.raises(RuntimeError, match="matmul: dim 1 of"):
        tg.lab.profile("matmul", "v00_naive", (3, 3), (4, 4))
