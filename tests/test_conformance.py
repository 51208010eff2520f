"""PyTorch's own samples (`op_db`): what tests/conformance.md says passes, passes; and that is at least 95% of them.

The report has up to 60 samples of an entry; here a few of each are run. `python -m tests.conformance` writes it anew.
"""
from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")

import conformance

PARTS = 12
REPORT = (Path(__file__).parent / "conformance.md").read_text()
FAILING = {name: int(tried) - int(passed) for name, passed, tried in re.findall(r"^\| (\S+) \| (\d+) of (\d+) \|", REPORT, re.M)}


@pytest.mark.parametrize("part", range(PARTS))
def test_samples_pass_where_the_report_says_so(part):
    for entry in conformance.claimed()[part::PARTS]:
        tally = conformance.run(entry, errors=False)
        name = conformance.name_of(entry)
        assert sum(tally.failed.values()) <= FAILING.get(name, 0), f"{name}: {dict(tally.failed)}"


def test_95_percent_pass():
    passed, tried = map(int, re.search(r"(\d+) of (\d+) samples pass", REPORT).groups())
    assert tried > 5000
    assert passed >= 0.95 * tried


def test_all_that_is_claimed_is_run():
    claimed = re.search(r"(\d+) entries of (\d+) are claimed", REPORT)
    assert len(conformance.claimed()) >= int(claimed[1]), "an entry that the report speaks of is gone"


def test_a_wrong_result_is_seen():
    """The comparison itself: a value, a shape, a dtype and a gradient that are wrong."""
    torch, tg = conformance.torch, conformance.tg
    x = torch.tensor([1.0, 2.0])
    assert conformance.differ(tg.tensor([1.0, 2.0]), x) is None
    assert "values differ" in conformance.differ(tg.tensor([1.0, 2.001]), x)
    assert "shape" in conformance.differ(tg.tensor([[1.0, 2.0]]), x)
    assert "dtype" in conformance.differ(tg.tensor([1.0, 2.0]).double(), x)
    a, b = torch.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    assert conformance.check_gradients([b * 2], [a * 2], [(a, b)]) is None
    assert "gradient" in conformance.check_gradients([b * 3], [a * 2], [(a, b)])
