"""What the READMEs say of the lab is what it says now."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorgrad._lab", exc_type=ImportError)
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import ladder_tables


@pytest.mark.parametrize("readme", ladder_tables.READMES, ids=lambda p: p.parent.name)
def test_the_lab_still_says_so(readme):
    text = readme.read_text()
    if not ladder_tables.BLOCK.search(text):
        pytest.skip("this README asks for no tables")
    if f"compiled by {ladder_tables.compiler()})" not in text:
        pytest.skip(f"the tables count what another compiler made of the kernels than {ladder_tables.compiler()}")
    new = ladder_tables.counts(ladder_tables.renewed(readme))
    assert new == ladder_tables.counts(text), "run python benchmarks/ladder_tables.py, read the difference and commit it"


def test_every_rung_is_in_the_tables():
    for readme in ladder_tables.READMES[1:]:
        if ladder_tables.BLOCK.search(readme.read_text()):
            files = [p.stem for p in sorted(readme.parent.glob("v*.cu"))]
            rungs = [name for name in files if not any(name.startswith(f"{other}_") for other in files)]  # not their other passes
            assert [name for name in rungs if f"### [`{name}`]" not in readme.read_text()] == []


def test_a_wrong_request_is_refused():
    with pytest.raises(ValueError, match="there is no op 'matmull'"):
        ladder_tables.tables("matmull 3x3")
