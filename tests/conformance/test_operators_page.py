"""docs/operators.md says what its script would write: it changes with the kernels, with what oneDNN takes, and with the lists."""

import difflib
import warnings

import operators
import pytest


@pytest.mark.slow
def test_the_page_is_up_to_date():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = operators.page()
    difference = difflib.unified_diff(operators.PAGE.read_text().splitlines(), text.splitlines(), lineterm="", n=0)
    assert not list(difference), "run tests/conformance/operators.py"


def test_every_kernel_is_on_the_page():
    rows = {line.split(" | ")[0].removeprefix("| ").rpartition(".")[2]
            for line in operators.PAGE.read_text().splitlines() if line.startswith("| ")}
    own = operators.PAGE.read_text().partition("## Operators of Lanner's own")[2].partition("\n## ")[0]
    missing = [name for name in operators.kernels() if name not in rows and f"`{name}`" not in own]
    assert not missing, "run tests/conformance/operators.py"
