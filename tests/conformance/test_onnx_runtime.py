"""What onnx_runtime.txt says of ONNX Runtime, which docs/operators.md repeats, is still so; that Lanner passes these cases is
what test_conformance.py says."""

import cases
import peer
import pytest

pytest.importorskip("onnxruntime")

LISTED = cases.read_list(peer.LIST)


@pytest.mark.parametrize("entry", LISTED, ids=[entry.pattern for entry in LISTED])
@pytest.mark.filterwarnings("ignore")
def test_onnx_runtime_differs(entry):
    covered = [case for case in cases.node_cases() if len(case.model.graph.node) == 1 and entry.covers("full", case.name)]
    assert covered, "no such case of one node"
    for case in covered:
        assert peer.failure(case) not in (None, peer.UNASKED), f"ONNX Runtime passes {case.name}"
