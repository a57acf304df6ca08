"""The Python package itself: its interface, values in and out, errors, and living beside other packages."""

import itertools
import subprocess
import sys
import threading

import numpy as np
import pytest

import lanner

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, parser  # noqa: E402


def model_of(text):
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    onnx.checker.check_model(model)
    return model


ADD = "g (float[N, 2] x, float[2] y) => (float[N, 2] z) { z = Add(x, y) }"


def test_compiles_paths_bytes_and_protos(tmp_path):
    proto = model_of(ADD)
    onnx.save(proto, tmp_path / "add.onnx")
    inputs = {"x": np.ones((3, 2), np.float32), "y": np.array([1, 2], np.float32)}
    for source in (tmp_path / "add.onnx", str(tmp_path / "add.onnx"), proto, proto.SerializeToString()):
        np.testing.assert_array_equal(lanner.compile(source).run(inputs)["z"], [[2, 3]] * 3)
    with pytest.raises(TypeError):
        lanner.compile(7)


def test_inputs_and_outputs_are_described():
    model = lanner.compile(model_of(ADD))
    assert [tuple(value) for value in model.inputs] == [
        ("x", "float32", (None, 2), ("N", ""), False, "float32[N,2]"),
        ("y", "float32", (2,), ("",), False, "float32[2]"),
    ]
    assert model.outputs[0].name == "z" and model.outputs[0].shape == (None, 2)


SMALL_TYPES = ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
               "float4_e2m1fn", "int4", "uint4", "int2", "uint2"]


def dtype_of(name):
    if name not in SMALL_TYPES:
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                                   "float16", "float32", "float64", "complex64", "complex128", *SMALL_TYPES])
@pytest.mark.parametrize("rows", [2, 50])
def test_element_types_pass_through(dtype, rows, tmp_path):
    dtype = dtype_of(dtype)
    element = helper.np_dtype_to_tensor_dtype(dtype)
    # Once in the program's text and once, of more than 64 bytes, among the weights.
    constant = np.arange(rows * 2).reshape(rows, 2).astype(np.int8).astype(dtype)
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["y"]), helper.make_node("Transpose", ["c"], ["z"])], "g",
        [helper.make_tensor_value_info("x", element, [None, 2])],
        [helper.make_tensor_value_info(name, element, [2, None]) for name in "yz"],
        [onnx.numpy_helper.from_array(constant, "c")])
    model = lanner.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=14))
    model.save(tmp_path / "model.lanner")
    x = np.array([[0, 1], [2, 3]]).astype(dtype)
    for which in (model, lanner.load(tmp_path / "model.lanner")):
        outputs = which.run({"x": x})
        assert outputs["y"].dtype == outputs["z"].dtype == dtype
        assert outputs["y"].tobytes() == x.T.tobytes()
        assert outputs["z"].tobytes() == constant.T.tobytes()


def test_arrays_of_any_layout_and_scalars():
    model = lanner.compile(model_of("g (float[A, B] x, float s) => (float[A, B] z) { z = Mul(x, s) }"))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for given in (x, np.asfortranarray(x), x[:, ::-1], x.T, x.astype(">f4")):
        np.testing.assert_array_equal(model.run({"x": given, "s": np.float32(2)})["z"], np.asarray(given) * 2)


def test_strings():
    model = lanner.compile(model_of("g (string[N] x) => (string[M] y) { y = Concat <axis: int = 0> (x, x) }"))
    for given in (np.array(["a", "ü"]), np.array(["a", "ü"], object)):
        assert model.run({"x": given})["y"].tolist() == ["a", "ü", "a", "ü"]


def test_sequences_and_optionals():
    model = lanner.compile(model_of("""
        g (seq(float[N]) s, float[N] x, optional(float[N]) o)
        => (seq(float[M]) t, float[K] last, bool has, seq(float[J]) k)
        <float[2] c = {5, 6}> {
          y = Add(x, x) t = SequenceInsert(s, y) n = Constant <value = int64 {-1}> () last = SequenceAt(t, n)
          has = OptionalHasElement(o) k = SequenceConstruct(c, c) }"""))
    s = [np.array([1, 2], np.float32), np.array([3], np.float32)]
    first = model.run({"s": s, "x": np.array([4, 5], np.float32), "o": None})
    assert [item.tolist() for item in first["t"]] == [[1, 2], [3], [8, 10]]
    assert first["last"].tolist() == [8, 10] and not first["has"]
    # What is returned is the caller's own.
    for item in (*first["t"], *first["k"]):
        item[:] = -1
    second = model.run({"s": s, "x": np.array([0, 1], np.float32), "o": s[0]})
    assert [item.tolist() for item in second["t"]] == [[1, 2], [3], [0, 2]] and second["has"]
    assert [item.tolist() for item in second["k"]] == [[5, 6], [5, 6]]
    assert second["last"].tolist() == [0, 2] and first["t"][2].tolist() == [-1, -1]


def test_optional_sequences(tmp_path):
    model = lanner.compile(model_of("""
        g (optional(seq(float[N])) s) => (bool has, optional(seq(float[N])) same) {
          has = OptionalHasElement(s) same = Identity(s) }"""))
    model.save(tmp_path / "model.lanner")
    for which in (model, lanner.load(tmp_path / "model.lanner")):
        assert which.inputs[0].type == which.outputs[1].type == "optional(sequence(float32[N]))"
        assert which.outputs[0].type == "bool[]"
        assert which.run({"s": None}) == {"has": np.False_, "same": None}
        given = which.run({"s": [np.array([1, 2], np.float32), np.array([], np.float32)]})
        assert given["has"] and [item.tolist() for item in given["same"]] == [[1, 2], []]
        assert which.run({"s": []})["same"] == []
        for wrong in (np.array([1], np.float32), [np.array([1])], [np.float32(1).reshape(())]):
            with pytest.raises(lanner.Error) as error:
                which.run({"s": wrong})
            assert error.value.reason in ("input.type", "input.rank")


def test_outputs_are_the_callers_own():
    model = lanner.compile(model_of("g (float[2] x) => (float[2] y, float[2] c) "
                                    "<float[2] k = {5, 6}> { y = Identity(x) c = Identity(k) }"))
    x = np.array([1, 2], np.float32)
    first = model.run({"x": x})
    first["y"][:] = 7
    first["c"][:] = 8
    second = model.run({"x": x})
    np.testing.assert_array_equal(x, [1, 2])
    np.testing.assert_array_equal(second["y"], [1, 2])
    np.testing.assert_array_equal(second["c"], [5, 6])


def test_initializers_listed_as_inputs_may_be_omitted():
    model = lanner.compile(model_of(
        "g (float[2] x, float[2] b = {10, 20}) => (float[2] z) { z = Add(x, b) }"))
    assert [value.optional for value in model.inputs] == [False, True]
    x = np.zeros(2, np.float32)
    np.testing.assert_array_equal(model.run({"x": x})["z"], [10, 20])
    np.testing.assert_array_equal(model.run({"x": x, "b": np.array([1, 2], np.float32)})["z"], [1, 2])


@pytest.mark.parametrize("inputs, reason", [
    ({}, "input.missing"),
    ({"x": np.zeros((1, 2), np.float32), "q": np.zeros(2, np.float32)}, "input.unknown"),
    ({"x": np.zeros((1, 2)), "y": np.zeros(2, np.float32)}, "input.type"),
    ({"x": np.zeros(2, np.float32), "y": np.zeros(2, np.float32)}, "input.rank"),
    ({"x": np.zeros((1, 3), np.float32), "y": np.zeros(2, np.float32)}, "input.shape"),
    ({"x": None, "y": np.zeros(2, np.float32)}, "input.type"),
    ({"x": np.array([[object()]]), "y": np.zeros(2, np.float32)}, "input.type"),
    ({"x": np.zeros((1, 2), "datetime64[s]"), "y": np.zeros(2, np.float32)}, "input.type"),
])
def test_wrong_inputs_are_errors_and_leave_the_model_usable(inputs, reason):
    model = lanner.compile(model_of(ADD))
    with pytest.raises(lanner.Error) as error:
        model.run(inputs)
    assert error.value.reason == reason and f"[{reason}]" in str(error.value)
    good = {"x": np.zeros((1, 2), np.float32), "y": np.zeros(2, np.float32)}
    assert model.run(good)["z"].shape == (1, 2)
    with pytest.raises(TypeError):
        model.run([1, 2])


@pytest.mark.parametrize("options, reason", [
    ({"threads": -1}, "option.threads"), ({"sessions": 0}, "option.sessions"), ({"lanes": 0}, "option.lanes"),
    ({"precision": "f8"}, "option.precision"), ({"memory": "tiny"}, "option.memory"), ({"tolerance": -0.1}, "option.tolerance"), ({"device": "tpu"}, "option.device"),
    ({"disable_rules": ["fuse-everything"]}, "rule.unknown"),
])
def test_wrong_options_are_errors(options, reason):
    with pytest.raises(lanner.Error) as error:
        lanner.compile(model_of(ADD), **options)
    assert error.value.reason == reason


def test_a_config_file_sets_what_the_call_does_not(tmp_path):
    config = tmp_path / "lanner.toml"
    config.write_text('threads = 1\ndeny = ["Relu"]\nprecision = "f8"\n[detect]\nscale = 1\n')
    proto = model_of(ADD)
    with pytest.raises(lanner.Error) as error:
        lanner.compile(proto, config=config)
    assert error.value.reason == "option.precision"
    lanner.compile(proto, config=config, precision="f32")
    config.write_text("treads = 1")
    with pytest.raises(lanner.Error) as error:
        lanner.compile(proto, config=config)
    assert error.value.reason == "config.invalid"


def test_every_unsupported_operator_is_in_one_error():
    text = "g (float[2] x) => (float[2] y) { a = custom.Foo(x) b = custom.Foo(a) y = custom.Bar(b) }"
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21, "custom" : 1]>\n{text}')
    with pytest.raises(lanner.Error) as error:
        lanner.compile(model)
    assert error.value.reason == "op.unsupported"
    assert "custom.Bar (×1)" in error.value.message and "custom.Foo (×2)" in error.value.message


def test_profile_rows_and_files(tmp_path):
    model = lanner.compile(model_of(ADD))
    inputs = {"x": np.zeros((1, 2), np.float32), "y": np.zeros(2, np.float32)}
    profile = model.profile(inputs, runs=7)
    (row,) = profile.rows
    assert (row.operator, row.backend, row.count) == ("Add", "native", 7)
    assert 0 <= row.min_us <= row.mean_us <= row.max_us <= row.sum_us
    assert len(profile.run_ms) == profile.runs == 7
    header, line = profile.table().splitlines()[:2]
    assert header.split() == ["#OpName", "#Backend", "#InvokeCount", "#Duration(us):", "Sum/Mean/Min/Max"]
    assert line.split()[:3] == ["Add", "native", "7"]
    import json

    profile.trace(tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" and event["name"] == "Add" for event in events) == 7
    profile.json(tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text())["rows"][0]["operator"] == "Add"
    profile.html(tmp_path / "r.html")
    assert "</html>" in (tmp_path / "r.html").read_text()
    for write in (profile.trace, profile.html, profile.json):
        with pytest.raises(lanner.Error):
            write(tmp_path / "missing" / "file")


def test_profile_summary():
    model = lanner.compile(model_of(ADD), threads=1)
    profile = model.profile({"x": np.zeros((1, 2), np.float32), "y": np.zeros(2, np.float32)}, runs=3)
    path, (row,) = profile.critical_path, profile.rows
    assert path.instruction_count == 1 and 0 <= path.run < 3
    assert path.wall_us == pytest.approx(1000 * sorted(profile.run_ms)[1])
    assert row.min_us <= path.length_us == path.serial_us <= row.max_us
    assert [(backend.backend, backend.count) for backend in profile.backends] == [("native", 3)]
    assert len(profile.occupancies) >= 1 and 0 <= profile.occupancies[0] <= 1
    assert profile.memory.pool_bytes >= 8 and profile.memory.process_bytes > 2**20
    assert "Critical path" in profile.summary() and "Peak memory" in profile.summary()


def test_run_releases_the_gil():
    model = lanner.compile(model_of(
        "g (int64 n, float[256, 256] x) => (float[256, 256] y) {"
        " c = Constant <value = bool {1}> ()"
        " y = Loop (n, c, x) <body = b (int64 i, bool go, float[256, 256] v) => (bool go2, float[256, 256] w)"
        " { go2 = Identity(go) w = MatMul(v, v) }> }"), threads=1)
    inputs = {"n": np.int64(300), "x": np.zeros((256, 256), np.float32)}
    ticks, running = [0], threading.Event()

    def tick():
        while running.is_set():
            ticks[0] += 1

    running.set()
    ticker = threading.Thread(target=tick)
    ticker.start()
    before = ticks[0]
    model.run(inputs)
    after = ticks[0]
    running.clear()
    ticker.join()
    assert after - before > 1000


@pytest.mark.parametrize("order", list(itertools.permutations(["lanner", "onnx", "onnxruntime", "openvino"])),
                         ids=lambda order: "-".join(order))
def test_lives_beside_other_packages_in_any_order(order):
    beside_in_a_process(order)


def test_lives_beside_pytorch():
    pytest.importorskip("torch")
    beside_in_a_process(["torch", "lanner"])
    beside_in_a_process(["lanner", "torch"])


def beside_in_a_process(order):
    """Imports the packages in this order, then compiles and runs a model with Lanner and checks it with onnx."""
    for name in order:
        pytest.importorskip(name)
    script = "\n".join([
        *(f"import {name}" for name in order),
        "import numpy as np, onnx.parser, lanner",
        "model = onnx.parser.parse_model('<ir_version: 10, opset_import: [\"\" : 21]> "
        "g (float[1, 1, 4, 4] x, float[2, 1, 3, 3] w) => (float[1, 2, 2, 2] z) { z = Conv(x, w) }')",
        "onnx.checker.check_model(model, full_check=True)",
        "outputs = lanner.compile(model).run({'x': np.ones((1, 1, 4, 4), np.float32),"
        " 'w': np.ones((2, 1, 3, 3), np.float32)})",
        "assert (outputs['z'] == 9).all()",
    ])
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
