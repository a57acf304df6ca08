"""bfloat16 and its guard: what `precision` does to results, to the report, to saved programs, and where it is refused."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

lanner = pytest.importorskip("lanner")
onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

CPU = Path("/proc/cpuinfo").read_text()
needs_bf16 = pytest.mark.skipif("avx512_bf16" not in CPU or "amx_tile" in CPU,
                                reason="this CPU gains nothing by bfloat16")
GUARDED_BY_GENERATED_INPUTS = pytest.mark.filterwarnings("ignore:precision 'auto' is judged on generated inputs")


def tensor(name, *shape):
    scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
    return numpy_helper.from_array((np.random.default_rng(len(name)).standard_normal(shape) * scale).astype("f4"), name)


def network(batch=1):
    """Three pointwise convolutions with activations, a residual sum, a pooling and a product."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="first"), helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "www"], ["cc"], name="second"), helper.make_node("Relu", ["cc"], ["rr"]),
        helper.make_node("Conv", ["rr", "wwww"], ["ccc"], name="third"), helper.make_node("Add", ["ccc", "r"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g", "b"], ["y"], name="product", transB=1)]
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 16, 20, 20])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("s", "y")],
        [tensor("w", 64, 16, 1, 1), tensor("www", 64, 64, 1, 1), tensor("wwww", 64, 64, 1, 1), tensor("g", 9000, 64),
         tensor("b", 9000)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def sample(seed=0):
    return {"x": np.random.default_rng(seed).standard_normal((1, 16, 20, 20)).astype("f4")}


def error(expected, actual):
    return max(np.sqrt(((actual[name] - expected[name]) ** 2).mean() / (expected[name] ** 2).mean()) for name in expected)


def identical(expected, actual):
    return all(np.array_equal(expected[name], actual[name]) for name in expected)


def precisions(model):
    return {row["node"]: row["precision"] for row in model.explain().rows if "precision" in row}


@pytest.fixture(scope="module")
def exact():
    return lanner.compile(network()).run(sample())


@needs_bf16
def test_bf16_is_near_and_not_equal(exact):
    model = lanner.compile(network(), precision="bf16")
    assert set(precisions(model)) == {"first", "second", "third", "product"} and set(precisions(model).values()) == {"bf16"}
    for threads in (1, 2):
        outputs = lanner.compile(network(), precision="bf16", threads=threads).run(sample())
        assert {array.dtype for array in outputs.values()} == {np.dtype("f4")}
        assert 1e-4 < error(exact, outputs) < 1e-2


@needs_bf16
def test_tuning_measures_what_precision_allows(exact, tmp_path, monkeypatch):
    monkeypatch.setenv("LANNER_CACHE_DIR", str(tmp_path))
    for precision in ("f32", "bf16", "auto"):
        settings = {"samples": sample(), "tolerance": 1e-9} if precision == "auto" else {}
        model = lanner.compile(network(), precision=precision, tune="full", **settings)
        measured = {entry["algorithm"] for row in model.explain().algorithms for entry in row["candidates"]
                    if entry["us"] is not None}
        assert {"direct", "matmul"} <= measured
        assert ({"direct-bf16", "matmul-bf16"} <= measured) == (precision == "bf16")
        assert error(exact, model.run(sample())) < (1e-2 if precision == "bf16" else 1e-5)


@needs_bf16
def test_a_saved_program_keeps_its_precision(tmp_path):
    model = lanner.compile(network(), precision="bf16")
    model.save(tmp_path / "network.lanner")
    loaded = lanner.load(tmp_path / "network.lanner")
    assert identical(model.run(sample()), loaded.run(sample()))
    assert precisions(loaded) == precisions(model)
    assert loaded.explain().precision["wanted"] == "bf16"


@needs_bf16
def test_auto_keeps_what_the_tolerance_allows(exact, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loose = lanner.compile(network(), precision="auto", samples=sample(), tolerance=0.05)
        np.savez(tmp_path / "sample.npz", **sample())
        same = lanner.compile(network(), precision="auto", samples=[tmp_path / "sample.npz", sample(1)], tolerance=0.05)
    assert set(precisions(loose).values()) == {"bf16"} == set(precisions(same).values())
    assert identical(lanner.compile(network(), precision="bf16").run(sample()), loose.run(sample()))
    found = {entry["value"]: entry["error"] for entry in loose.explain().precision["judged"]}
    outputs = loose.run(sample())
    for name in ("s", "y"):
        assert found[name] == pytest.approx(error({name: exact[name]}, outputs), rel=1e-3)


@needs_bf16
def test_auto_withdraws_what_exceeds_the_tolerance(exact):
    tight = lanner.compile(network(), precision="auto", samples=sample(), tolerance=1e-9)
    assert set(precisions(tight).values()) == {"f32"}
    assert identical(exact, tight.run(sample()))
    assert "by itself it makes an error of 0.00" in str(tight.explain())

    most = error(exact, lanner.compile(network(), precision="bf16").run(sample()))
    some = lanner.compile(network(), precision="auto", samples=sample(), tolerance=0.8 * most)
    assert set(precisions(some).values()) == {"f32", "bf16"}
    assert 0 < error(exact, some.run(sample())) <= 0.8 * most


def test_auto_without_samples_warns():
    with pytest.warns(UserWarning, match="generated inputs|all stays float32"):
        lanner.compile(network(), precision="auto")


@GUARDED_BY_GENERATED_INPUTS
@pytest.mark.parametrize("options, reason", [
    ({"precision": "f8"}, "option.precision"), ({"tolerance": -1}, "option.tolerance"),
    ({"tolerance": float("nan")}, "option.tolerance"), ({"samples": {"z": np.zeros(1, "f4")}}, "input.unknown"),
    ({"samples": {"x": np.zeros((1, 16, 20, 21), "f4")}}, "input.shape"), ({"samples": "missing.npz"}, "file.not_found"),
    ({"samples": __file__}, "npz.invalid"),
])
@needs_bf16
def test_wrong_options_are_errors(options, reason):
    with pytest.raises(lanner.Error) as raised:
        lanner.compile(network(), **{"precision": "auto", **options})
    assert raised.value.reason == reason


@needs_bf16
def test_auto_needs_samples_where_shapes_are_open():
    with pytest.raises(lanner.Error) as raised:
        lanner.compile(network("batch"), precision="auto")
    assert raised.value.reason == "input.missing" and "samples" in str(raised.value)
    model = lanner.compile(network("batch"), precision="auto", samples=sample())
    assert "bf16" in precisions(model).values()


def test_another_cpu_runs_the_same_program_in_float32(tmp_path, exact):
    """DNNL_MAX_CPU_ISA makes this CPU one without the instructions."""
    onnx.save(network(), tmp_path / "network.onnx")
    lanner.compile(network(), precision="bf16").save(tmp_path / "network.lanner")
    np.savez(tmp_path / "x.npz", **sample())
    script = """if True:
        import numpy as np, lanner
        x = dict(np.load("x.npz"))
        allowed, exact = lanner.load("network.lanner"), lanner.compile("network.onnx")
        assert all(np.array_equal(a, b) for a, b in zip(allowed.run(x).values(), exact.run(x).values(), strict=True))
        guarded = lanner.compile("network.onnx", precision="auto", samples="x.npz")
        assert {row["precision"] for row in guarded.explain().rows if "precision" in row} == {"f32"}
        print(guarded.explain().precision["warnings"])
    """
    environment = {**os.environ, "DNNL_MAX_CPU_ISA": "AVX512_CORE",
                   "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONWARNINGS": "ignore"}
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert "this CPU gains nothing by bfloat16" in result.stdout
    assert error(exact, lanner.load(tmp_path / "network.lanner").run(sample())) < 1e-2


@needs_bf16
def test_settings_of_a_config_file(tmp_path):
    np.savez(tmp_path / "x.npz", **sample())
    config = tmp_path / "c.toml"
    config.write_text(f'precision = "auto"\ntolerance = 1e-9\nsamples = ["{tmp_path / "x.npz"}"]\n')
    assert set(precisions(lanner.compile(network(), config=config)).values()) == {"f32"}
    assert set(precisions(lanner.compile(network(), config=config, tolerance=0.05)).values()) == {"bf16"}
    report = lanner.compile(network(), config=config).explain().precision
    assert report["tolerance"] == 1e-9 and json.dumps(report)
