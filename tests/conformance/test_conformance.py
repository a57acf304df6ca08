"""Runs ONNX's own suite: tests/conformance/cases.py says which cases, and in which forms.

`unsupported.txt` lists what will never work, `expected_failures.txt` what does not work yet. A listed case that passes is
a failure here, so that the lists cannot go stale; only random numbers may agree by chance.
"""

import cases
import lanner
import pytest

UNSUPPORTED = cases.read_list("unsupported.txt")
EXPECTED = cases.read_list("expected_failures.txt")
ALL = [(form, name) for form in cases.FORMS for name in cases.functions(form)]


@pytest.mark.parametrize(("form", "name"), ALL, ids=[f"{form}-{name}" for form, name in ALL])
@pytest.mark.filterwarnings("ignore")
def test_case(form, name):
    run = cases.functions(form)[name]
    entry = cases.find(UNSUPPORTED + EXPECTED, form, name)
    if entry is None:
        run()
        return
    try:
        run()
    except (lanner.Error, AssertionError):
        pytest.xfail(entry.reason)
    if entry.reason.startswith("random"):
        pytest.xfail(entry.reason)
    pytest.fail(f"{name} passes in form '{form}': take it from the list")


@pytest.mark.parametrize("listed", [UNSUPPORTED, EXPECTED], ids=["unsupported", "expected_failures"])
def test_every_entry_is_of_a_case(listed):
    stale = [entry for entry in listed if not any(entry.covers(form, name) for form, name in ALL)]
    assert not stale
    assert len({entry[:2] for entry in listed}) == len(listed)


def test_the_suite_is_whole():
    assert len(cases.functions("native")) == len(cases.functions("open")) == 1884 + 23 + 82 + 35
    assert len(cases.functions("full")) == 1884 + 23 + 82 + 35 + 9
