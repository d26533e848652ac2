"""What docs/policy-tests.md shows is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tsujiban.policy.testing.suite import CaseText, PolicyTest, read_suites
from tsujiban.policy.testing.table import COLUMNS

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "policy-tests.md").read_text()
HEAD = "apiVersion: tsujiban.io/v1\nkind: PolicyTest\n"


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_every_example_can_be_read(block: str) -> None:
    text = block if block.startswith("apiVersion") else HEAD + block
    suites, wrong = read_suites({"a_test.yaml": text.encode()})
    assert wrong == []
    assert len(suites[0].cases) >= 2


def test_every_field_is_in_the_page() -> None:
    own = set(PolicyTest.__struct_encode_fields__) - {"apiVersion", "kind", "metadata"}
    for field in (*own, *CaseText.__struct_encode_fields__):
        assert f"`{field}`" in PAGE, field


def test_the_columns_of_a_table_are_fields_of_a_case() -> None:
    assert set(COLUMNS) <= set(CaseText.__struct_encode_fields__)


@pytest.mark.parametrize("page", ["policy-tests.md", "lint.md"])
def test_the_example_from_python_runs(page: str) -> None:
    code = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL
    )[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
