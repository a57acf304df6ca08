"""A transformer's block against ONNX Runtime: what follows each matrix product becomes part of it, whatever is known of
the shapes and however the Gelu is spelled."""

import numpy as np
import pytest

lanner = pytest.importorskip("lanner")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

WIDTH, HEADS, HIDDEN = 96, 4, 256
SIZE = WIDTH // HEADS


class Writer:
    def __init__(self):
        self.nodes, self.constants = [], []
        self.random = np.random.default_rng(7)

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def number(self, value):
        return self.constant(np.float32(value))

    def weights(self, *shape):
        scale = np.sqrt(1 / shape[0]) if len(shape) > 1 else 0.3
        return self.constant((self.random.standard_normal(shape) * scale).astype("f4"))

    def __call__(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{name}", **attributes))
        return name

    def dense(self, x, inputs, outputs):
        return self("Add", self.weights(outputs), self("MatMul", x, self.weights(inputs, outputs)))

    def norm(self, x):
        return self("LayerNormalization", x, self.weights(WIDTH), self.weights(WIDTH), axis=-1)

    def gelu_erf(self, x):
        one = self("Add", self("Erf", self("Div", x, self.number(np.sqrt(2)))), self.number(1))
        return self("Mul", self("Mul", x, one), self.number(0.5))

    def gelu_tanh(self, x):
        cubic = self("Add", x, self("Mul", self.number(0.044715), self("Pow", x, self.number(3))))
        one = self("Add", self.number(1), self("Tanh", self("Mul", self.number(np.sqrt(2 / np.pi)), cubic)))
        return self("Mul", self("Mul", self.number(0.5), x), one)

    def gelu_operator(self, x):
        return self("Gelu", x)

    def quick_gelu(self, x):
        return self("Mul", x, self("Sigmoid", self("Mul", x, self.number(1.702))))

    def attention(self, x):
        def heads(perm):
            split = self("Reshape", self.dense(x, WIDTH, WIDTH), self.constant(np.array([0, 0, HEADS, SIZE])))
            return self("Transpose", split, perm=perm)
        scores = self("MatMul", heads([0, 2, 1, 3]), heads([0, 2, 3, 1]))
        weights = self("Softmax", self("Mul", scores, self.number(SIZE**-0.5)), axis=-1)
        joined = self("Transpose", self("MatMul", weights, heads([0, 2, 1, 3])), perm=[0, 2, 1, 3])
        return self.dense(self("Reshape", joined, self.constant(np.array([0, 0, WIDTH]))), WIDTH, WIDTH)

    def block(self, x, activation):
        x = self("Add", x, self.attention(self.norm(x)))
        hidden = activation(self.dense(self.norm(x), WIDTH, HIDDEN))
        return self("Add", self.dense(hidden, HIDDEN, WIDTH), x)


def transformer(activation, shape):
    w = Writer()
    y = w.block(w.block("x", getattr(w, activation)), getattr(w, activation))
    graph = helper.make_graph(w.nodes, "transformer", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(y, TensorProto.FLOAT, shape)], w.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def expect_agreement(source, model, shapes):
    reference = onnxruntime.InferenceSession(source.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in shapes:
        x = np.random.default_rng(sum(shape)).standard_normal(shape).astype("f4")
        expected = reference.run(None, {"x": x})[0]
        actual = next(iter(model.run({"x": x}).values()))
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


SHAPES = {"known": ([2, 50, WIDTH], [(2, 50, WIDTH)]),
          "open": (["batch", "length", WIDTH], [(1, 9, WIDTH), (3, 17, WIDTH), (1, 1, WIDTH), (2, 64, WIDTH)])}


@pytest.mark.parametrize("activation", ["gelu_erf", "gelu_tanh", "gelu_operator", "quick_gelu"])
@pytest.mark.parametrize("shapes", SHAPES)
def test_a_transformer(activation, shapes):
    declared, given = SHAPES[shapes]
    source = transformer(activation, declared)
    model = lanner.compile(source)
    expect_agreement(source, model, given)
    operators = [row["operator"] for row in model.explain().rows]
    first = {"gelu_erf": "MatMul+Add×2+Div+Erf+Mul×2", "gelu_tanh": "MatMul+Add×3+Pow+Mul×4+Tanh",
             "gelu_operator": "MatMul+Add+Gelu", "quick_gelu": "MatMul+Add"}[activation]
    products = [operator for operator in operators if operator.startswith("MatMul")]
    # Queries, keys and values, their attention, and what has a residual.
    with_residual, attention = "MatMul+Add×2", "MatMul×2+Mul+Softmax"
    assert sorted(products) == sorted(2 * ([with_residual, first, with_residual, attention] + 3 * ["MatMul+Add"]))
    assert not {"Add", "Gelu", "Reshape", "Transpose"} & set(operators)
    assert operators.count("Sigmoid") == (2 if activation == "quick_gelu" else 0)


@pytest.mark.parametrize("options", [{"deny": ["@onednn"]}, {"disable_rules": ["fuse"]},
                                     {"disable_rules": ["fuse-gelu"]}, {"disable_rules": ["fuse-attention"]},
                                     {"tune": "fast"}], ids=str)
def test_a_transformer_otherwise(options):
    source = transformer("gelu_erf", SHAPES["known"][0])
    expect_agreement(source, lanner.compile(source, **options), SHAPES["known"][1])
