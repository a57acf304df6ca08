"""The command `lanner` as users meet it: what each subcommand does, and that what is wrong gives one clear error."""

import errno
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lanner

onnx = pytest.importorskip("onnx")
from onnx import numpy_helper, parser  # noqa: E402

COMMAND = shutil.which("lanner", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
SUBCOMMANDS = ("compile", "run", "profile", "bench", "explain", "detect")
SHAPES = Path(__file__).resolve().parents[2] / "models" / "shapes" / "shapes.onnx"
EXAMPLE = SHAPES.with_name("example.png")


# ---------------------------------------------------------------------------------------------------------------------
# Models, inputs, and running the command


def model_of(text, domains=""):
    return parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21{domains}]>\n{text}')


def conv_model():
    """Three convolutions with something between them, which a backend takes; the nodes are node0 ... node5."""
    model = model_of("g (float[1, 3, 8, 8] x) => (float[1, 4, 8, 8] y) {"
                     " a = Conv <pads = [1, 1, 1, 1]> (x, w) b = Relu(a) c = Conv <pads = [1, 1, 1, 1]> (b, v)"
                     " d = Relu(c) e = Conv <pads = [1, 1, 1, 1]> (d, v) y = Sigmoid(e) }")
    for i, node in enumerate(model.graph.node):
        node.name = f"node{i}"
    generator = np.random.default_rng(0)
    for name, shape in (("w", (4, 3, 3, 3)), ("v", (4, 4, 3, 3))):
        values = generator.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


ADD = "g (float[N, 2] x, float[2] y) => (float[N, 2] z, bool[N, 2] big) { z = Add(x, y) big = Greater(z, y) }"
ADD_INPUTS = {"x": np.ones((3, 2), np.float32), "y": np.array([1, 2], np.float32)}
CONV_INPUTS = {"x": np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)}


@pytest.fixture
def folder(tmp_path):
    """A folder with conv.onnx, conv.npz, add.onnx and add.npz."""
    onnx.save(conv_model(), tmp_path / "conv.onnx")
    onnx.save(model_of(ADD), tmp_path / "add.onnx")
    np.savez(tmp_path / "conv.npz", **CONV_INPUTS)
    np.savez(tmp_path / "add.npz", **ADD_INPUTS)
    return tmp_path


def run(folder, *words, **options):
    """The finished process of `lanner WORDS...`, started in the folder."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **options}
    return subprocess.run([COMMAND, *map(str, words)], cwd=folder, text=True, errors="replace", **options)


def succeeds(folder, *words, **options):
    """What `lanner WORDS...` prints; it must succeed and complain about nothing."""
    result = run(folder, *words, **options)
    assert (result.returncode, result.stderr) == (0, ""), f"lanner {words}: {result}"
    return result.stdout


def content(folder):
    """Every file and folder below a folder, with the bytes of the files."""
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def check_error(result, reason, status):
    assert result.returncode == status, result
    assert not result.stdout
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ") and len(lines[0]) > len("error: "), result.stderr
    assert result.stderr.count("error: ") == 1, result.stderr
    assert lines[-1] == f"  [{reason}]", result.stderr
    return result.stderr


def fails(folder, reason, *words, status=1, **options):
    """The text of the one error that `lanner WORDS...` ends with; it must leave every file of the folder as it is."""
    before = content(folder)
    result = run(folder, *words, **options)
    assert content(folder) == before
    return check_error(result, reason, status)


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        np.testing.assert_array_equal(actual[name], value)


# ---------------------------------------------------------------------------------------------------------------------
# What the subcommands do


def test_version_and_help(tmp_path):
    assert succeeds(tmp_path, "--version") == f"lanner {lanner.__version__}\n"
    overview = succeeds(tmp_path, "--help")
    for subcommand in SUBCOMMANDS:
        assert re.search(rf"^  {subcommand} ", overview, re.MULTILINE)
        text = succeeds(tmp_path, subcommand, "--help")
        assert f"lanner {subcommand}" in text and "MODEL" in text and "--threads" in text
    # Each option has its sentence.
    for line in succeeds(tmp_path, "profile", "--help").splitlines():
        assert not re.fullmatch(r"\s+(-|MODEL)\S*( \S+)?\s*", line), line


@pytest.mark.parametrize("name, inputs", [("conv", CONV_INPUTS), ("add", ADD_INPUTS)])
def test_compiled_or_not_a_model_gives_what_python_and_onnxruntime_give(folder, name, inputs):
    printed = succeeds(folder, "compile", f"{name}.onnx", "-o", f"{name}.lanner")
    assert f"{name}.lanner: " in printed and f"{(folder / f'{name}.lanner').stat().st_size} bytes" in printed
    expected = lanner.compile(folder / f"{name}.onnx").run(inputs)
    for model in (f"{name}.onnx", f"{name}.lanner"):
        printed = succeeds(folder, "run", model, "--inputs", f"{name}.npz", "--outputs", "out.npz")
        assert [line.split(":")[0] for line in printed.splitlines()] == list(expected)
        assert_same(arrays(folder / "out.npz"), expected)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
    for value, other in zip(expected.values(), session.run(None, inputs)):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-5)


def test_compile_describes_inputs_and_outputs(folder):
    lines = succeeds(folder, "compile", "add.onnx", "-o", "add.lanner").splitlines()
    assert lines[:2] == ["input  x: float32 Nx2", "input  y: float32 2"]
    assert lines[2:4] == ["output z: float32 Nx2", "output big: bool Nx2"]


def test_print_graphs_shows_each_pass_that_changed_something(folder):
    printed = succeeds(folder, "compile", "conv.onnx", "-o", "conv.lanner", "--print-graphs")
    passes = re.findall(r"^==== before (.*)$", printed, re.MULTILINE)
    assert passes and passes == re.findall(r"^==== after (.*)$", printed, re.MULTILINE)
    assert "Sigmoid" in printed
    quiet = succeeds(folder, "compile", "conv.onnx", "-o", "conv.lanner", "--print-graphs", "--disable-rule", "all")
    assert "====" not in quiet


def test_data_beside_the_model_is_found(folder):
    (folder / "models").mkdir()
    onnx.save(conv_model(), folder / "models" / "conv.onnx", save_as_external_data=True, location="conv.bin",
              size_threshold=0)
    succeeds(folder, "run", "models/conv.onnx", "--inputs", "conv.npz", "--outputs", "out.npz")
    assert_same(arrays(folder / "out.npz"), lanner.compile(conv_model()).run(CONV_INPUTS))
    # A compiled model holds its data.
    succeeds(folder, "compile", "models/conv.onnx", "-o", "conv.lanner")
    shutil.rmtree(folder / "models")
    succeeds(folder, "run", "conv.lanner", "--inputs", "conv.npz", "--outputs", "again.npz")
    assert_same(arrays(folder / "again.npz"), arrays(folder / "out.npz"))


def test_bench_finds_the_best_arrangement(folder):
    for mode, key, best in (("latency", "p50_ms", min), ("throughput", "requests_per_second", max)):
        printed = succeeds(folder, "bench", "conv.onnx", "--mode", mode, "--seconds", 0.1, "--json", "b.json")
        lines = printed.splitlines()
        assert lines[0].split() == ["#Sessions", "#Threads", "#Requests/s", "#Latency(ms):", "p50/p90/p99"]
        report = json.loads((folder / "b.json").read_text())
        tried = report["arrangements"]
        assert report["mode"] == mode and len(lines) == 1 + len(tried)
        assert report["best"][key] == best(one[key] for one in tried)
        assert sum(line.endswith("best") for line in lines) == 1
        for one in tried:
            assert one["p50_ms"] <= one["p90_ms"] <= one["p99_ms"]
            assert one["requests"] >= 5 * one["sessions"]  # each session answers in each round
            assert mode == "throughput" or one["sessions"] == 1


def test_bench_takes_an_arrangement_and_inputs(folder):
    words = ("bench", "add.onnx", "--inputs", "add.npz", "--sessions", 3, "--threads", 1, "--seconds", 0.05, "--json")
    (one,) = json.loads(succeeds(folder, *words))["arrangements"]
    assert (one["sessions"], one["threads"]) == (3, 1)


def test_bench_fails_like_a_request(folder):
    np.savez(folder / "wrong.npz", x=np.ones((3, 5), np.float32), y=ADD_INPUTS["y"])
    fails(folder, "input.shape", "bench", "add.onnx", "--inputs", "wrong.npz")
    fails(folder, "usage", "bench", "add.onnx", "--mode", "speed", status=2)


def test_profile_prints_a_table(folder):
    printed = succeeds(folder, "profile", "conv.onnx", "--runs", 3, "--threads", 2, "--deny", "@onednn")
    lines = printed.splitlines()
    assert lines[0].split() == ["#OpName", "#Backend", "#InvokeCount", "#Duration(us):", "Sum/Mean/Min/Max"]
    rows = [line.split() for line in lines[1:lines.index("")]]
    assert sum(int(count) for _, _, count, _ in rows) >= 3
    for _, backend, count, durations in rows:
        total, mean, least, most = map(float, durations.split("/"))
        assert backend == "native" and int(count) % 3 == 0
        assert least <= mean <= most <= total
        assert mean == pytest.approx(total / int(count), abs=0.1)
    assert re.fullmatch(r"3 runs on 2 threads, median \d+\.\d{3} ms", lines[-1])


def test_profile_writes_a_trace_and_json(folder):
    table = succeeds(folder, "profile", "conv.onnx", "--inputs", "conv.npz", "--runs", 2, "--trace", "t.json",
                     "--json", "p.json")
    assert table.startswith("#OpName")
    trace = json.loads((folder / "t.json").read_text())
    complete = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert complete
    for event in complete:
        assert event["ts"] >= 0 and event["dur"] >= 0 and {"name", "pid", "tid"} <= set(event)
    profile = json.loads((folder / "p.json").read_text())
    for row in profile["rows"]:
        assert row["operator"] in table and row["count"] % 2 == 0
        assert row["min_us"] <= row["mean_us"] <= row["max_us"] <= row["sum_us"]
    assert sum(row["count"] for row in profile["rows"] + profile["child_rows"]) == len(profile["events"])
    # Without a file name the JSON takes the place of the table, wherever the option stands.
    for words in (["conv.onnx", "--runs", 2, "--json"], ["--json", "--runs", 2, "conv.onnx"]):
        assert json.loads(succeeds(folder, "profile", *words))["rows"]
    assert not (folder / "-").exists()


def test_profile_says_more_below_the_table(folder):
    printed = succeeds(folder, "profile", "conv.onnx", "--runs", 3, "--threads", 2, "--json", "p.json")
    profile = json.loads((folder / "p.json").read_text())
    below = printed[printed.index("#Backend  #Share"):].splitlines()
    for row in profile["backends"]:
        assert any(line.split()[0] == row["backend"] and line.split()[2] == str(row["count"]) for line in below[1:])
    assert sum(row["sum_us"] for row in profile["backends"]) == pytest.approx(sum(row["sum_us"] for row in profile["rows"]))
    path, memory = profile["critical_path"], profile["memory"]
    assert any(line.startswith(f"Critical path of the median run: {path['length_us']:.1f} us") for line in below)
    assert 0 < path["length_us"] <= path["serial_us"] <= path["wall_us"] == 1000 * sorted(profile["run_ms"])[1]
    assert any(re.fullmatch(r"Lanes, busy time by wall-clock time: lane 0 \d+\.\d%.*", line) for line in below)
    assert all(0 < lane["occupancy"] <= 1 for lane in profile["lanes"][:1])
    assert any(line.startswith("Peak memory: session ") for line in below)
    assert memory["arena_bytes"] >= 0 and 0 < memory["pool_bytes"] < memory["process_bytes"]
    # A chain: each instruction but a run's first waits for the one before, and all are on the critical path.
    instructions = [event for event in profile["events"] if not event["child"]]
    assert all(event["critical"] for event in instructions)
    assert sum(len(event["dependencies"]) for event in instructions) == len(instructions) - 3
    for row in profile["subgraphs"]:
        assert row["name"] and row["operator"].startswith("Subgraph[")
    for event in profile["events"]:
        if event["child"]:
            assert profile["events"][event["inside"]]["operator"].startswith("Subgraph[")


def test_the_trace_has_arrows(folder):
    succeeds(folder, "profile", "conv.onnx", "--runs", 2, "--deny", "@onednn", "--trace", "t.json", "--json", "p.json")
    trace = json.loads((folder / "t.json").read_text())["traceEvents"]
    starts = {event["id"] for event in trace if event["ph"] == "s"}
    ends = {event["id"] for event in trace if event["ph"] == "f"}
    events = json.loads((folder / "p.json").read_text())["events"]
    assert starts == ends and len(starts) == sum(len(event["dependencies"]) for event in events) // 2 > 0


def test_compare_prints_both_tables(folder):
    printed = succeeds(folder, "profile", "conv.onnx", "--compare", "--runs", 2, "--threads", 2, "--deny", "@onednn",
                       "--json", "p.json", "--trace", "t.json", "--html", "r.html")
    lines = printed.splitlines()
    assert re.fullmatch(r"Without head rules, 1 lane +With head rules, \d+ lanes?", lines[0])
    assert lines[1].count(" instruction") == 2 and lines[1].count("median") == 2
    assert lines[3].split() == 2 * ["#OpName", "#InvokeCount", "#Sum(us)", "#Mean(us)"]
    both = json.loads((folder / "p.json").read_text())
    for side in ("without", "with"):
        assert both[side]["runs"] == 2
        for row in both[side]["rows"]:
            assert any(row["operator"][:31] in line and f"{row['sum_us']:.1f}" in line for line in lines[4:])
    assert re.fullmatch(r"2 runs of each in turn on 2 threads; [\d.]+ ms became [\d.]+ ms: [\d.]+ times as fast", lines[-1])
    assert json.loads((folder / "t.json").read_text())["traceEvents"] and (folder / "r.html").stat().st_size > 10_000
    assert set(json.loads(succeeds(folder, "profile", "conv.onnx", "--compare", "--runs", 1, "--json"))) == {"without", "with"}


def test_compiling_options_need_a_model_to_compile(folder):
    succeeds(folder, "compile", "conv.onnx", "-o", "conv.lanner")
    for words in (["--deny", "Conv"], ["--disable-rule", "all"], ["--precision", "f32"], ["--tolerance", 1],
                  ["--samples", "conv.npz"]):
        for command in (["explain"], ["profile", "--runs", 1], ["compile", "-o", "again.lanner"]):
            if words[0] == "--samples" and command[0] == "compile":
                continue  # which tunes the program again, for the sizes of the samples
            message = fails(folder, "usage", *command, "conv.lanner", *words, status=2)
            assert words[0] in message and "'conv.lanner'" in message and ".onnx" in message
    assert "--compare" in fails(folder, "usage", "profile", "conv.lanner", "--compare", "--html", "r.html", status=2)
    # Of a config file, which serves all commands, only the settings of running apply.
    (folder / "c.toml").write_text('deny = ["Conv"]\nthreads = 3\n')
    assert "on 3 threads" in succeeds(folder, "profile", "conv.lanner", "--runs", 1, "--config", "c.toml")


def test_precision_is_explained(folder):
    text = succeeds(folder, "explain", SHAPES, "--precision", "bf16")
    counts = re.search(r"^precision bf16: (\d+) of (\d+) convolutions and products may use bf16$", text, re.MULTILINE)
    assert 0 < int(counts[1]) <= int(counts[2])
    assert re.search(r"^Conv\+Relu .* -- bf16$", text, re.MULTILINE)
    other_cpu = {**os.environ, "DNNL_MAX_CPU_ISA": "AVX2"}
    assert "they run in f32" in succeeds(folder, "explain", SHAPES, "--precision", "bf16", env=other_cpu)
    assert "-- f32: it has fewer than 8 outputs" in succeeds(folder, "explain", "conv.onnx", "--precision", "bf16")

    warned = run(folder, "explain", "conv.onnx", "--precision", "auto")
    assert warned.returncode == 0 and warned.stderr.startswith("warning: ") and "\nprecision auto: 0 of " in warned.stdout
    judged = run(folder, "compile", "conv.onnx", "-o", "guarded.lanner", "--precision", "auto", "--samples", "conv.npz")
    assert judged.returncode == 0 and "generated" not in judged.stderr
    assert "precision auto" in succeeds(folder, "explain", "guarded.lanner")


def test_json_does_not_take_what_follows_for_the_file_to_write(folder):
    assert json.loads(succeeds(folder, "profile", "--runs", 1, "--json", "conv.onnx"))["rows"]
    fails(folder, "usage", "profile", "conv.onnx", "--json", "add.onnx", status=2)
    shutil.copy(EXAMPLE, folder / "own.png")
    fails(folder, "usage", "detect", SHAPES, EXAMPLE, "-o", "out", "--json", "own.png", status=2)


def explained(folder, *words):
    return json.loads(succeeds(folder, "explain", *words, "--json"))


def test_explain_says_who_runs_each_node_and_why(folder):
    report = explained(folder, "conv.onnx", "--deny", "Conv@onednn", "--disable-rule", "all")
    assert [row["node"] for row in report["nodes"]] == [f"node{i}" for i in range(6)]
    for row in report["nodes"]:
        assert set(row) == {"node", "operator", "backend", "subgraph", "reason", "rules"}
        if row["operator"] == "Conv":
            assert row["backend"] == "native" and "denied" in row["reason"]
    assert all(rule["rule"] and rule["doc"] for rule in report["rules"])
    text = succeeds(folder, "explain", "conv.onnx", "--deny", "Conv@onednn", "--disable-rule", "all")
    assert text.splitlines()[0].split() == ["#Operator", "#Backend", "#Subgraph", "#Node"]
    assert "node0 -- Conv is denied for onednn" in text
    assert "native: 6 nodes" in text
    text = succeeds(folder, "explain", "conv.onnx")
    assert re.search(r"^fuse-activation +\d.*\n    fired \d times?: ", text, re.MULTILINE)


def test_explain_remembers_in_the_compiled_file(folder):
    def without_times(report):
        return [report["nodes"], [(rule["rule"], rule["fired"]) for rule in report["rules"]]]

    succeeds(folder, "compile", "conv.onnx", "-o", "conv.lanner")
    assert without_times(explained(folder, "conv.lanner")) == without_times(explained(folder, "conv.onnx"))


def tuned(folder, *words):
    """The tuning section, which is not there where nothing was tuned, and the algorithms that `lanner explain` shows."""
    report = explained(folder, *words)
    return report.get("tuning"), report["algorithms"]


def wide_conv_model():
    """A convolution of 3 × 3 with several algorithms between two of 1 × 1, which have one."""
    model = model_of("g (float[1, 16, 20, 20] x) => (float[1, 16, 20, 20] y) {"
                     " a = Conv (x, w) b = Conv <pads = [1, 1, 1, 1]> (a, v) y = Conv (b, w) }")
    generator = np.random.default_rng(0)
    for name, shape in (("w", (16, 16, 1, 1)), ("v", (16, 16, 3, 3))):
        values = generator.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


@pytest.fixture
def cache(monkeypatch, tmp_path_factory):
    """A cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("own_cache")
    monkeypatch.setenv("LANNER_CACHE_DIR", str(folder))
    return folder


def test_tuning_is_stored_explained_and_remembered(folder, cache):
    onnx.save(wide_conv_model(), folder / "wide.onnx")
    succeeds(folder, "compile", "wide.onnx", "-o", "full.lanner", "--tune", "full", "--threads", 1)
    (measured,) = cache.iterdir()
    before = measured.read_bytes()
    tuning, algorithms = tuned(folder, "full.lanner")
    assert (tuning["level"], tuning["threads"]) == ("full", 1)
    assert [row["reason"] for row in algorithms] == ["measured"] * 3
    row = algorithms[1]
    times = {candidate["algorithm"]: candidate["us"] for candidate in row["candidates"]}
    assert len(times) >= 2 and all(us > 0 for us in times.values())
    assert row["us"] == times[row["algorithm"]]
    assert row["gflops"] == pytest.approx(2e-3 * 16 * 20 * 20 * 16 * 9 / row["us"])
    assert row["of_peak"] == pytest.approx(row["gflops"] / tuning["peak_gflops"])
    text = succeeds(folder, "explain", "full.lanner")
    assert re.search(rf"^{row['algorithm']} .*: 1x16x20x20 by 16x16x3x3, pad 1x1x1x1 -- .* us", text, re.MULTILINE)

    # The same again, from the cache; and a damaged cache is made anew.
    succeeds(folder, "compile", "wide.onnx", "-o", "again.lanner", "--tune", "full", "--threads", 1)
    assert measured.read_bytes() == before
    assert [(row["algorithm"], row["candidates"]) for row in tuned(folder, "again.lanner")[1]] == [
        (row["algorithm"], row["candidates"]) for row in algorithms]
    measured.write_bytes(before[: len(before) // 2])
    succeeds(folder, "compile", "full.lanner", "-o", "fast.lanner", "--threads", 1)
    assert tuned(folder, "fast.lanner")[0]["level"] == "fast"
    json.loads(measured.read_bytes())

    inputs = {"x": np.random.default_rng(2).normal(size=(1, 16, 20, 20)).astype(np.float32)}
    expected = lanner.compile(wide_conv_model()).run(inputs)["y"]
    # Which algorithm is the fastest differs from run to run; Winograd's error goes with the size of all that is summed up.
    tolerance = 2e-5 * np.abs(expected).max()
    np.testing.assert_allclose(lanner.load(folder / "full.lanner").run(inputs)["y"], expected, rtol=0, atol=tolerance)


def test_who_tunes_unless_told(folder, cache):
    onnx.save(wide_conv_model(), folder / "wide.onnx")
    np.savez(folder / "wide.npz", x=np.zeros((1, 16, 20, 20), np.float32))
    succeeds(folder, "run", "wide.onnx", "--inputs", "wide.npz", "--outputs", "out.npz")
    succeeds(folder, "compile", "wide.onnx", "-o", "off.lanner", "--tune", "off")
    (folder / "off.toml").write_text('tune = "off"\n')
    succeeds(folder, "compile", "wide.onnx", "-o", "off.lanner", "--config", "off.toml")
    succeeds(folder, "profile", "off.lanner", "--runs", 1)
    tuning, algorithms = tuned(folder, "off.lanner")
    assert tuning is None and [row["reason"] for row in algorithms] == ["expected"] * 3
    assert "not measured; expected to be the fastest of " in succeeds(folder, "explain", "off.lanner")
    assert not list(cache.iterdir())
    assert tuned(folder, "off.lanner", "--tune", "fast")[0]["level"] == "fast"
    succeeds(folder, "profile", "wide.onnx", "--runs", 1)
    assert tuned(folder, "wide.onnx")[0]["level"] == "fast"
    assert len(list(cache.iterdir())) == 1


def test_small_memory_keeps_weights_plain(folder, cache):
    onnx.save(wide_conv_model(), folder / "wide.onnx")
    succeeds(folder, "compile", "wide.onnx", "-o", "small.lanner", "--memory", "small", "--tune", "off")
    _, rows = tuned(folder, "small.lanner")
    assert rows and all("small weights" in row["problem"] for row in rows)
    algorithms = {candidate["algorithm"] for row in rows for candidate in row["candidates"]}
    assert algorithms <= {"direct", "direct-bf16", "winograd-f2-plain", "winograd-f4-plain"} and len(algorithms) > 1
    fails(folder, "usage", "explain", "small.lanner", "--memory", "small", status=2)


def test_python_tunes_when_told(cache):
    model = lanner.compile(wide_conv_model(), threads=1)
    assert {row["reason"] for row in model.explain().algorithms} == {"expected"}
    model = lanner.compile(wide_conv_model(), threads=1, tune="fast")
    assert model.explain().algorithms[1]["reason"] == "measured"
    with pytest.raises(lanner.Error) as error:
        lanner.compile(wide_conv_model(), tune="best")
    assert error.value.reason == "option.tune"


def test_disabled_rules_do_not_fire_and_change_nothing(folder):
    fired = {rule["rule"] for rule in explained(folder, "conv.onnx")["rules"] if rule["fired"]}
    assert "fuse-activation" in fired
    without_one = explained(folder, "conv.onnx", "--disable-rule", "fuse-activation")
    assert not any(rule["fired"] for rule in without_one["rules"] if rule["rule"] == "fuse-activation")
    without_pass = explained(folder, "conv.onnx", "--disable-rule", "fuse")
    assert not any(rule["fired"] for rule in without_pass["rules"] if rule["rule"].startswith("fuse-a"))
    without_all = explained(folder, "conv.onnx", "--disable-rule", "all")
    assert not any(rule["fired"] for rule in without_all["rules"])
    assert [row["operator"] for row in without_all["nodes"]] == ["Conv", "Relu", "Conv", "Relu", "Conv", "Sigmoid"]
    succeeds(folder, "run", "conv.onnx", "--inputs", "conv.npz", "--outputs", "plain.npz", "--disable-rule", "all")
    np.testing.assert_allclose(arrays(folder / "plain.npz")["y"], lanner.compile(conv_model()).run(CONV_INPUTS)["y"],
                               rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("deny", ["Conv", "Conv@onednn", "@onednn"])
def test_what_is_denied_stays_native(folder, deny):
    if not any(row["backend"] == "onednn" for row in explained(folder, "conv.onnx")["nodes"]):
        pytest.skip("without oneDNN every node is native")
    assert {row["backend"] for row in explained(folder, "conv.onnx", "--deny", deny)["nodes"]} == {"native"}
    succeeds(folder, "run", "conv.onnx", "--inputs", "conv.npz", "--outputs", "out.npz", "--deny", deny)
    np.testing.assert_allclose(arrays(folder / "out.npz")["y"], lanner.compile(conv_model()).run(CONV_INPUTS)["y"],
                               rtol=1e-4, atol=1e-5)


def threads_of(folder, *words):
    printed = succeeds(folder, "profile", "conv.onnx", "--runs", 1, *words)
    return int(re.search(r"on (\d+) threads", printed)[1])


def test_threads(folder):
    for threads in (1, 3):
        assert threads_of(folder, "--threads", threads) == threads
    assert threads_of(folder, "--threads", 0) == threads_of(folder) >= 1
    message = fails(folder, "option.threads", "profile", "conv.onnx", "--threads", 10_000_000)
    assert "10000000" in message


def test_config_settings_apply_and_the_command_line_wins(folder):
    (folder / "c.toml").write_text('threads = 3\nlanes = 1\nprecision = "f32"\ndisable-rule = ["all"]\n'
                                   'deny = ["Conv"]\n[detect]\nscale = 1\n')
    config = ("--config", "c.toml")
    assert threads_of(folder, *config) == 3
    assert threads_of(folder, *config, "--threads", 2) == 2
    assert threads_of(folder, *config, "--threads", 0) == threads_of(folder)
    report = explained(folder, "conv.onnx", *config)
    assert not any(rule["fired"] for rule in report["rules"])
    assert {row["backend"] for row in report["nodes"] if row["operator"] == "Conv"} == {"native"}
    report = explained(folder, "conv.onnx", *config, "--disable-rule", "fold-constants", "--deny", "Sigmoid")
    assert any(rule["fired"] for rule in report["rules"])
    assert not any("Conv is denied" in row["reason"] for row in report["nodes"])
    (folder / "f8.toml").write_text('precision = "f8"\n')
    fails(folder, "option.precision", "explain", "conv.onnx", "--config", "f8.toml")
    succeeds(folder, "explain", "conv.onnx", "--config", "f8.toml", "--precision", "f32")


def test_output_may_be_a_link_or_a_pipe(folder):
    (folder / "real.lanner").write_text("old")
    (folder / "link.lanner").symlink_to("real.lanner")
    succeeds(folder, "compile", "conv.onnx", "-o", "link.lanner")
    assert (folder / "link.lanner").is_symlink()
    compiled = (folder / "real.lanner").read_bytes()
    assert lanner.load(folder / "link.lanner").run(CONV_INPUTS)["y"].shape == (1, 4, 8, 8)
    os.mkfifo(folder / "pipe")
    reader = subprocess.Popen(["cat", folder / "pipe"], stdout=subprocess.PIPE)
    succeeds(folder, "compile", "real.lanner", "-o", "pipe", "--tune", "off")
    assert reader.communicate(timeout=10)[0] == compiled
    assert (folder / "pipe").is_fifo()


# ---------------------------------------------------------------------------------------------------------------------
# detect


def test_detect_draws_and_lists_what_it_finds(tmp_path):
    printed = succeeds(tmp_path, "detect", SHAPES, EXAMPLE, "-o", "found.png", "--json", "found.json")
    (image,) = json.loads((tmp_path / "found.json").read_text())
    assert image["image"] == str(EXAMPLE) and image["output"] == "found.png"
    classes = next(p.value for p in onnx.load(SHAPES).metadata_props if p.key == "lanner.detect.classes")
    assert image["detections"]
    for found in image["detections"]:
        assert found["name"] in classes and found["score"] >= 0.5
        left, top, right, bottom = found["box"]
        assert 0 <= left < right <= image["width"] and 0 <= top < bottom <= image["height"]
    lines = printed.splitlines()
    assert len(lines) == len(image["detections"]) + 1
    assert all(found["name"] in line for found, line in zip(image["detections"], lines))
    assert lines[-1].startswith(f"{EXAMPLE}: {len(image['detections'])} detections")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG\r\n")

    # A compiled model finds the same, with the same algorithms to the last digit; a folder takes several pictures; the
    # JSON may go to the output.
    succeeds(tmp_path, "compile", SHAPES, "-o", "shapes.lanner", "--tune", "off")
    shutil.copy(EXAMPLE, tmp_path / "second.png")
    printed = succeeds(tmp_path, "detect", "shapes.lanner", "--json", "-o", "drawn", EXAMPLE, "second.png")
    report = json.loads(printed)
    assert [entry["detections"] for entry in report] == [image["detections"]] * 2
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["example.png", "second.png"]
    assert (tmp_path / "drawn" / "second.png").read_bytes() == (tmp_path / "found.png").read_bytes()


def test_detect_leaves_out_what_scores_too_low(tmp_path):
    printed = succeeds(tmp_path, "detect", SHAPES, EXAMPLE, "-o", "none.png", "--score-threshold", "1.5", "--json")
    assert json.loads(printed)[0]["detections"] == []


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0 not a JPEG",
                                  EXAMPLE.read_bytes()[:1000], EXAMPLE.read_bytes()[:-5000]],
                         ids=["empty", "text", "png-magic-only", "jpeg-magic-only", "png-start", "png-without-end"])
def test_a_picture_that_does_not_decode_is_an_error(tmp_path, data):
    (tmp_path / "bad.png").write_bytes(data)
    (tmp_path / "out.png").write_text("old")
    message = fails(tmp_path, "image.decode", "detect", SHAPES, "bad.png", "-o", "out.png")
    assert "bad.png" in message


def test_detect_errors(folder):
    fails(folder, "file.not_found", "detect", SHAPES, "missing.png", "-o", "out.png")
    fails(folder, "file.unreadable", "detect", SHAPES, folder, "-o", "out.png")
    message = fails(folder, "detect.convention", "detect", "conv.onnx", EXAMPLE, "-o", "out.png")
    assert "layout" in message and "boxes" in message
    fails(folder, "image.unwritable", "detect", SHAPES, EXAMPLE, "-o", "out.gif")
    fails(folder, "image.unwritable", "detect", SHAPES, EXAMPLE, EXAMPLE, "-o", "out.png")
    fails(folder, "image.unwritable", "detect", SHAPES, EXAMPLE, "-o", "conv.onnx/out")
    shutil.copy(EXAMPLE, folder / "own.png")
    fails(folder, "image.unwritable", "detect", SHAPES, "own.png", "-o", "own.png")


# ---------------------------------------------------------------------------------------------------------------------
# Broken models


def each_command(model):
    """The subcommands on a model, each with an output that exists or may not appear."""
    return [("compile", model, "-o", "old.lanner"), ("run", model, "--inputs", "conv.npz", "--outputs", "out.npz"),
            ("profile", model, "--trace", "trace.json", "--json", "profile.json", "--html", "profile.html"),
            ("profile", model, "--compare", "--html", "profile.html"), ("explain", model),
            ("detect", model, EXAMPLE, "-o", "out.png")]


@pytest.mark.parametrize("data, reason", [
    (None, "file.not_found"),
    (b"", "model.empty"),
    (b"an ordinary text\n" * 30, "model.parse"),
    (EXAMPLE.read_bytes(), "model.parse"),
    (conv_model().SerializeToString()[:300], "model.parse"),
    (b"LANNER", "model.parse"),
], ids=["missing", "empty", "text", "picture", "truncated", "almost-a-program"])
def test_a_file_that_is_no_model_is_an_error_of_every_subcommand(folder, data, reason):
    if data is not None:
        (folder / "bad.onnx").write_bytes(data)
    (folder / "old.lanner").write_text("old")
    for words in each_command("bad.onnx"):
        assert "'bad.onnx'" in fails(folder, reason, *words)


def test_a_folder_or_a_pipe_is_no_model(folder):
    (folder / "folder.onnx").mkdir()
    os.mkfifo(folder / "pipe.onnx")
    for model in ("folder.onnx", "pipe.onnx"):
        for words in each_command(model):
            fails(folder, "file.unreadable", *words)


def without_opset():
    model = conv_model()
    del model.opset_import[:]
    return model


def of_a_future_opset():
    model = conv_model()
    model.opset_import[0].version = 9999
    return model


def with_a_short_weight():
    model = conv_model()
    model.graph.initializer[0].raw_data = b"1234"
    return model


@pytest.mark.parametrize("model", [
    model_of("g (float[2] x) => (float[2] y) { y = Add(x, nothing) }"),
    model_of("g (float[2] x) => (float[2] y) { y = Add(x) }"),
    model_of("g (float[2] x) => (float[2] y) { y = Relu(x) y = Abs(x) }"),
    model_of("g (float[2] x) => (float[2] z) { y = Relu(x) }"),
    model_of("g (float[2] x) => (float[2] y) { a = Add(b, x) b = Relu(a) y = Relu(b) }"),
    model_of("g (float[2] x) => (float[2] y) { y = Transpose <perm: string = \"up\"> (x) }"),
    onnx.ModelProto(ir_version=10), without_opset(), of_a_future_opset(), with_a_short_weight(),
], ids=["no-such-value", "missing-input", "value-made-twice", "output-not-made", "circle", "attribute-type",
        "no-graph", "no-opset", "future-opset", "short-weight"])
def test_protobuf_that_is_no_valid_model_is_an_error(folder, model):
    onnx.save(model, folder / "bad.onnx")
    (folder / "old.lanner").write_text("old")
    result = run(folder, "compile", "bad.onnx", "-o", "old.lanner")
    reason = re.search(r"\[(\w+\.\w+)\]$", result.stderr.rstrip())
    assert reason, result
    assert reason[1].split(".")[0] in ("model", "op")
    assert "'bad.onnx'" in check_error(result, reason[1], 1)
    assert (folder / "old.lanner").read_text() == "old" and not (folder / "old.lanner").is_symlink()
    assert {path.suffix for path in folder.iterdir()} == {".onnx", ".npz", ".lanner"}


@pytest.mark.parametrize("location, size", [("data.bin", None), ("data.bin", 0), ("data.bin", 100),
                                            ("../data.bin", 9999), ("/etc/passwd", 9999)])
def test_external_data_that_is_missing_short_or_outside_is_an_error(tmp_path, location, size):
    folder = tmp_path / "models"
    folder.mkdir()
    onnx.save(conv_model(), folder / "conv.onnx", save_as_external_data=True, location="data.bin", size_threshold=0)
    (folder / "data.bin").unlink()
    model = onnx.load(folder / "conv.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    onnx.save(model, folder / "conv.onnx")
    if size is not None and not location.startswith("/"):
        (folder / location).write_bytes(bytes(size))
    message = fails(tmp_path, "model.external_data", "compile", "models/conv.onnx", "-o", "out.lanner")
    assert location in message and "in tensor 'w'" in message


def test_every_unsupported_operator_is_in_one_error_with_its_count(folder):
    model = model_of("g (float[2] x) => (float[2] y) { a = custom.Foo(x) b = custom.Foo(a) y = custom.Bar(b) }",
                     ', "custom" : 1')
    onnx.save(model, folder / "custom.onnx")
    message = fails(folder, "op.unsupported", "compile", "custom.onnx", "-o", "out.lanner")
    assert "custom.Bar (×1)" in message and "custom.Foo (×2)" in message


@pytest.mark.parametrize("twentieth", range(20))
def test_a_truncated_model_is_an_error(tmp_path, twentieth):
    data = SHAPES.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[:len(data) * twentieth // 20])
    result = run(tmp_path, "compile", "cut.onnx", "-o", "out.lanner")
    check_error(result, "model.empty" if twentieth == 0 else "model.parse", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.onnx"]


@pytest.mark.parametrize("twentieth", range(20))
def test_a_truncated_program_is_an_error(folder, twentieth):
    succeeds(folder, "compile", "conv.onnx", "-o", "whole.lanner")
    data = (folder / "whole.lanner").read_bytes()
    (folder / "cut.lanner").write_bytes(data[:len(data) * twentieth // 20])
    reason = "model.empty" if twentieth == 0 else "program.truncated"
    fails(folder, reason, "run", "cut.lanner", "--inputs", "conv.npz", "--outputs", "out.npz")


def flip_a_bit(path, seed):
    data = bytearray(path.read_bytes())
    bit = int(np.random.default_rng(seed).integers(8 * len(data)))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("model", ["add.onnx", "conv.onnx", "conv.lanner"])
def test_a_flipped_bit_never_crashes(folder, model, seed):
    if model == "conv.lanner":
        lanner.compile(conv_model()).save(folder / "conv.lanner")
    flip_a_bit(folder / model, seed)
    result = run(folder, "run", model, "--inputs", f"{Path(model).stem}.npz", "--outputs", "out.npz")
    assert result.returncode in (0, 1), result
    assert (folder / "out.npz").exists() == (result.returncode == 0)
    if result.returncode == 1:
        reason = re.search(r"\[([\w.]+)\]$", result.stderr.rstrip())[1]
        assert reason != "internal", result.stderr
        check_error(result, reason, 1)
    elif model == "conv.lanner":
        # What no checksum covers is nothing that matters.
        assert_same(arrays(folder / "out.npz"), lanner.compile(conv_model()).run(CONV_INPUTS))


# ---------------------------------------------------------------------------------------------------------------------
# Wrong inputs


@pytest.mark.parametrize("inputs, reason, named", [
    ({"x": ADD_INPUTS["x"]}, "input.missing", "'y'"),
    ({**ADD_INPUTS, "q": ADD_INPUTS["y"]}, "input.unknown", "'q'"),
    ({**ADD_INPUTS, "x": np.ones((3, 2))}, "input.type", "'x'"),
    ({**ADD_INPUTS, "x": np.ones((1, 3, 2), np.float32)}, "input.rank", "'x'"),
    ({**ADD_INPUTS, "x": np.ones((3, 4), np.float32)}, "input.shape", "'x'"),
    ({**ADD_INPUTS, "x": np.array([["a", "b"]])}, "npz.type", "'x'"),
    ({**ADD_INPUTS, "x": np.ones((3, 2), np.complex128)}, "npz.type", "'x'"),
    ({**ADD_INPUTS, "x": np.asfortranarray(ADD_INPUTS["x"])}, "npz.type", "'x'"),
])
def test_wrong_inputs_are_errors_that_name_the_input(folder, inputs, reason, named):
    np.savez(folder / "in.npz", **inputs)
    (folder / "out.npz").write_text("old")
    assert named in fails(folder, reason, "run", "add.onnx", "--inputs", "in.npz", "--outputs", "out.npz")
    assert named in fails(folder, reason, "profile", "add.onnx", "--inputs", "in.npz", "--trace", "trace.json")


def test_broken_npz_files_are_errors(folder):
    whole = (folder / "add.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"NUMPY") + 130] ^= 1  # in the elements: the archive's checksum tells
    for data in (b"", b"no archive", whole[:len(whole) // 2], whole[:-1], bytes(flipped),
                 (folder / "add.onnx").read_bytes()):
        (folder / "bad.npz").write_bytes(data)
        message = fails(folder, "npz.invalid", "run", "add.onnx", "--inputs", "bad.npz", "--outputs", "out.npz")
        assert "'bad.npz'" in message
    fails(folder, "file.not_found", "run", "add.onnx", "--inputs", "no.npz", "--outputs", "out.npz")
    fails(folder, "file.unreadable", "run", "add.onnx", "--inputs", ".", "--outputs", "out.npz")


def test_profile_needs_inputs_where_it_cannot_make_them_up(folder):
    message = fails(folder, "input.missing", "profile", "add.onnx")
    assert "'x'" in message and "--inputs" in message
    assert succeeds(folder, "profile", "add.onnx", "--inputs", "add.npz", "--runs", 1).startswith("#OpName")


@pytest.mark.parametrize("text, inputs, reason", [
    ("g (float[4] x, int64[2] s) => (float[A, B] y) { y = Reshape(x, s) }",
     {"x": np.ones(4, np.float32), "s": np.array([3, 2])}, "op.shape"),
    ("g (float[4] x, int64[2] s) => (float[2] y) { y = Gather <axis = 0> (x, s) }",
     {"x": np.ones(4, np.float32), "s": np.array([3, 7])}, "op.index"),
    ("g (float[A, B] x, float[C, D] w) => (float[E, F] y) { y = MatMul(x, w) }",
     {"x": np.ones((2, 3), np.float32), "w": np.ones((4, 5), np.float32)}, "op.shape"),
    ("g (float[A] x, int64[A] i) => (float[A] y) { y = Add(x, i) }",
     {"x": np.ones(4, np.float32), "i": np.ones(4, np.int64)}, "op.type"),
])
def test_an_operator_that_fails_is_named(folder, text, inputs, reason):
    model = model_of(text)
    model.graph.node[0].name = "the_culprit"
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "in.npz", **inputs)
    succeeds(folder, "compile", "model.onnx", "-o", "model.lanner")
    for name in ("model.onnx", "model.lanner"):
        message = fails(folder, reason, "run", name, "--inputs", "in.npz", "--outputs", "out.npz")
        assert f"in {model.graph.node[0].op_type} 'the_culprit'" in message


# ---------------------------------------------------------------------------------------------------------------------
# Outputs that cannot be written


WRITERS = {
    "compile": lambda path: ("compile", "conv.onnx", "-o", path),
    "run": lambda path: ("run", "conv.onnx", "--inputs", "conv.npz", "--outputs", path),
    "profile-trace": lambda path: ("profile", "conv.onnx", "--runs", 1, "--trace", path),
    "profile-json": lambda path: ("profile", "conv.onnx", "--runs", 1, "--json", path),
    "detect": lambda path: ("detect", SHAPES, EXAMPLE, "-o", path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_an_output_that_cannot_be_written_is_an_error(folder, writer):
    suffix = {"profile-json": ".json", "detect": ".png"}.get(writer, ".out")
    message = fails(folder, "file.unwritable", *WRITERS[writer](f"missing/out{suffix}"))
    assert f"missing/out{suffix}" in message and os.strerror(errno.ENOENT) in message
    fails(folder, "file.unwritable", *WRITERS[writer](f"conv.npz/out{suffix}"))
    if writer != "detect":  # for which a folder is fine
        (folder / f"folder{suffix}").mkdir()
        fails(folder, "file.unwritable", *WRITERS[writer](f"folder{suffix}"))
    if Path("/dev/full").is_char_device():
        # Through a link, so that replacing what the path names would hit the link.
        (folder / f"full{suffix}").symlink_to("/dev/full")
        message = check_error(run(folder, *WRITERS[writer](f"full{suffix}")), "file.unwritable", 1)
        assert os.strerror(errno.ENOSPC) in message
        assert (folder / f"full{suffix}").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_full_standard_output_is_an_error(folder):
    for words in (["explain", "conv.onnx"], ["explain", SHAPES, "--json"], ["--help"], ["--version"]):
        with open("/dev/full", "w") as full:
            check_error(run(folder, *words, stdout=full), "file.unwritable", 1)


# ---------------------------------------------------------------------------------------------------------------------
# Wrong usage


@pytest.mark.parametrize("words, named", [
    ([], "subcommand"),
    (["fly"], ""),
    (["--frob"], ""),
    (["compile"], "MODEL"),
    (["compile", "conv.onnx"], "--output"),
    (["compile", "conv.onnx", "-o"], "--output"),
    (["compile", "conv.onnx", "-o", "out.lanner", "--frob"], "--frob"),
    (["compile", "conv.onnx", "add.onnx", "-o", "out.lanner"], "add.onnx"),
    (["compile", "conv.onnx", "-o", "out.lanner", "--threads", "-1"], "--threads"),
    (["compile", "conv.onnx", "-o", "out.lanner", "--threads", "many"], "--threads"),
    (["compile", "conv.onnx", "-o", "out.lanner", "--threads", "99999999999999999999"], "--threads"),
    (["compile", "conv.onnx", "-o", "out.lanner", "--lanes", "-1"], "--lanes"),
    (["run", "conv.onnx", "--outputs", "out.npz"], "--inputs"),
    (["run", "conv.onnx", "--inputs", "conv.npz"], "--outputs"),
    (["profile", "conv.onnx", "--runs", "0"], "--runs"),
    (["profile", "conv.onnx", "--runs", "-3"], "--runs"),
    (["profile", "conv.onnx", "--runs", "1.5"], "--runs"),
    (["explain"], "MODEL"),
    (["detect", "conv.onnx", "-o", "out"], "IMAGE"),
    (["detect", "conv.onnx", str(EXAMPLE)], "--output"),
    (["detect", "conv.onnx", str(EXAMPLE), "-o", "out", "--score-threshold", "high"], "--score-threshold"),
])
def test_wrong_usage_has_status_2(folder, words, named):
    message = fails(folder, "usage", *words, status=2)
    assert named in message
    subcommand = f" {words[0]}" if words and words[0] in SUBCOMMANDS else ""
    assert f"see 'lanner{subcommand} --help'" in message
    assert len(message) < 300


@pytest.mark.parametrize("words, reason", [
    (["--disable-rule", "fuse-everything"], "rule.unknown"),
    (["--deny", "Conv@nobody"], "deny.backend"),
    (["--precision", "f8"], "option.precision"),
    (["--tune", "best"], "option.tune"),
    (["--memory", "tiny"], "option.memory"),
    (["--tolerance", "-1"], "option.tolerance"),
    (["--precision", "auto", "--samples", "missing.npz"], "file.not_found"),
    (["--config", "missing.toml"], "file.not_found"),
    (["--config", "."], "file.unreadable"),
])
def test_settings_that_mean_nothing_are_errors(folder, words, reason):
    fails(folder, reason, "compile", "conv.onnx", "-o", "out.lanner", *words)


@pytest.mark.parametrize("text, named", [
    ("frob = 1", "frob"), ("detect = 1", "detect"), ("threads =", "threads"), ('threads = "2"', "threads"),
    ("threads = -1", "threads"), ("threads = 4294967298", "threads"), ("threads = 1.5", "threads"),
    ("[threads]", "threads"), ("lanes = -2", "lanes"), ("precision = 32", "precision"), ("tolerance = \"1\"", "tolerance"), ("samples = \"x.npz\"", "samples"),
    ('disable-rule = "all"', "disable-rule"), ("deny = [1]", "deny"), ("threads = 1\nthreads = 2", "threads"),
    ("\x00\x01", ""), ("[", ""),
])
def test_a_wrong_config_file_is_an_error(folder, text, named):
    (folder / "c.toml").write_text(text)
    message = fails(folder, "config.invalid", "run", "conv.onnx", "--inputs", "conv.npz", "--outputs", "out.npz",
                    "--config", "c.toml")
    assert "'c.toml'" in message and named in message


# ---------------------------------------------------------------------------------------------------------------------
# Progress


def on_a_terminal(folder, *words):
    """Exit status, standard output, and what the terminal got that is the process's standard error."""
    terminal, side = pty.openpty()
    try:
        process = subprocess.Popen([COMMAND, *map(str, words)], cwd=folder, text=True, stdout=subprocess.PIPE,
                                   stderr=side)
        os.close(side)
        shown = b""
        try:
            while piece := os.read(terminal, 1 << 16):
                shown += piece
        except OSError as error:  # what Linux reports when the last process has closed its side
            assert error.errno == errno.EIO
        printed = process.communicate(timeout=60)[0]
        return process.returncode, printed, shown.decode()
    finally:
        os.close(terminal)


def test_progress_is_shown_on_a_terminal_only(folder):
    status, printed, shown = on_a_terminal(folder, "compile", "conv.onnx", "-o", "conv.lanner")
    assert status == 0 and "conv.lanner: " in printed
    percentages = [int(number) for number in re.findall(r"(\d+)%", shown)]
    assert len(percentages) >= 2 and percentages == sorted(percentages)
    # Everything is on one line, which is empty in the end.
    assert "\n" not in shown and shown.endswith("\r\x1b[K")
    assert "%" not in printed and "\x1b" not in printed
    assert "\x1b" not in succeeds(folder, "compile", "conv.onnx", "-o", "conv.lanner")


def test_an_error_on_a_terminal_comes_after_the_progress_is_cleared(folder):
    (folder / "bad.onnx").write_text("no model, but long enough to look at")
    status, printed, shown = on_a_terminal(folder, "compile", "bad.onnx", "-o", "out.lanner")
    assert (status, printed) == (1, "")
    assert "%" in shown and shown.rpartition("\x1b[K")[2].startswith("error: ")
