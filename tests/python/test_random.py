"""Random numbers: not those of the suite's cases, which ONNX itself calls examples, but of the distribution that the document
names, repeatable with a seed. src/kernels/random_test.cpp has the other operators."""

import numpy as np
import onnx
import pytest
from onnx import helper

import lanner

PROBABILITIES = np.array([0, 0.1, 0.5, 0.9, 1], np.float32)
SAMPLES = 20_000
STANDARD_DEVIATIONS = 5


def bernoulli(**attributes):
    node = helper.make_node("Bernoulli", ["p"], ["y"], **attributes)
    dtype = attributes.get("dtype", onnx.TensorProto.FLOAT)
    graph = helper.make_graph([node], "bernoulli",
                              [helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, [SAMPLES, len(PROBABILITIES)])],
                              [helper.make_tensor_value_info("y", dtype, [SAMPLES, len(PROBABILITIES)])])
    model = lanner.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)]))
    rows = np.tile(PROBABILITIES, (SAMPLES, 1))
    return lambda: model.run({"p": rows})["y"]


@pytest.mark.parametrize("dtype", [onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64])
def test_bernoulli_draws_ones_as_often_as_asked(dtype):
    drawn = bernoulli(dtype=dtype, seed=3.0)()
    assert drawn.dtype == helper.tensor_dtype_to_np_dtype(dtype)
    assert set(np.unique(drawn)) == {0, 1}
    deviation = np.sqrt(PROBABILITIES * (1 - PROBABILITIES) / SAMPLES)
    assert (np.abs(drawn.mean(0) - PROBABILITIES) <= STANDARD_DEVIATIONS * deviation).all()
    # Neighbours know nothing of each other.
    half = drawn[:, 2].astype(float) - 0.5
    assert abs((half[:-1] * half[1:]).mean()) < STANDARD_DEVIATIONS * 0.25 / np.sqrt(SAMPLES)


def test_a_seed_repeats_a_model_and_not_its_runs():
    first, again, other = bernoulli(seed=3.0), bernoulli(seed=3.0), bernoulli(seed=4.0)
    drawn = first()
    np.testing.assert_array_equal(drawn, again())
    assert (drawn != other()).any()
