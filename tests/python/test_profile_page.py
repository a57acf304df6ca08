"""The page that `lanner profile --html` writes, in headless Chromium: it draws, answers and complains about nothing."""

import html
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import shapes_inputs

import lanner

CHROMIUM = shutil.which("chromium")
COMMAND = shutil.which("lanner", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
RUNS = 6
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the pages profile.html and compare.html of the shapes model."""
    folder = tmp_path_factory.mktemp("page")
    np.savez(folder / "in.npz", **shapes_inputs.samples(1)[0])
    # The head as it was exported fills the page.
    for words, rules in ((["--html", "profile.html"], ["--disable-rule", "batch-heads"]),
                         (["--compare", "--html", "compare.html"], [])):
        subprocess.run([COMMAND, "profile", shapes_inputs.FOLDER / "shapes.onnx", "--inputs", "in.npz", "--runs", str(RUNS), *words, *rules],
                       cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def browse(page, *words, fragment=""):
    """What Chromium prints with the page open. The page must leave nothing on its console."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    result = subprocess.run([CHROMIUM, "--headless=new", *sandbox, "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                             f"--user-data-dir={page.parent / 'browser'}", "--window-size=1300,900",
                             "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000",
                             "--enable-logging=stderr", *words, f"file://{page}#{fragment}"],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "CONSOLE" not in result.stderr, result.stderr
    return result.stdout


def answer(page, script, fragment=""):
    """What a script returns that runs in the page once it stands; the page's own names are its to use."""
    probe = page.with_name("probe.html")
    code = ("addEventListener('load', () => setTimeout(async () => { const sleep = (ms) => new Promise((done) => "
            f"setTimeout(done, ms)); const result = await (async () => {{ {script} }})(); "
            "document.body.dataset.answer = JSON.stringify(result); }, 200));")
    probe.write_text(page.read_text().replace("</body>", f"<script>{code}</script></body>"))
    dom = browse(probe, "--dump-dom", fragment=fragment)
    found = re.search(r'<body[^>]* data-answer="([^"]*)"', dom)
    assert found, dom[-2000:]
    return json.loads(html.unescape(found[1]))


def test_the_page_draws_a_run_and_its_tables(folder):
    dom = browse(folder / "profile.html", "--dump-dom")
    canvas = re.search(r'<canvas id="timeline"[^>]*>', dom)[0]
    assert int(re.search(r'data-rectangles="(\d+)"', canvas)[1]) > 100
    assert int(re.search(r'data-rows="(\d+)"', canvas)[1]) >= 3  # critical path, a lane, inside subgraphs
    assert len(re.findall(r'aria-label="run \d+, ', dom)) == RUNS
    assert f" of {RUNS}: " in dom and "the median" in dom
    assert "shapes.onnx – Lanner profile</title>" in dom and "Critical path" in dom and "Peak memory" in dom
    table = re.search(r'<div class="scroll" id="table">.*?</table>', dom, re.DOTALL)[0]
    assert table.count("<tr>") > 10 and "NonMaxSuppression" in table
    for tab, words in (("placement", ["/network/Add", "fuse-activation", "oneDNN does not take"]),
                       ("rules", ["Removes nodes whose output is always their input", "dimension 0 is not known"]),
                       ("path", ["Subgraph["]), ("subgraphs", ["/network/"]), ("inside", ["Reorder"])):
        table = re.search(r'<div class="scroll" id="table">.*', browse(folder / "profile.html", "--dump-dom",
                                                                       fragment=f"tab={tab}"), re.DOTALL)[0]
        for word in words:
            assert word in table, tab


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screenshot_shows_the_timeline(folder, theme):
    image = pytest.importorskip("PIL.Image")
    page = folder / "profile.html"
    facts = answer(page, "const box = canvas.getBoundingClientRect(); return { box: [box.left, box.top, box.right, "
                         "box.bottom], operators: palette[theme()], accent: colour('accent'), card: colour('card') }",
                   fragment=f"theme={theme}")
    shot = folder / f"{theme}.png"
    browse(page, f"--screenshot={shot}", fragment=f"theme={theme}")
    picture = np.asarray(image.open(shot).convert("RGB"))
    left, top, right, bottom = map(round, facts["box"])
    assert right - left > 1000 and bottom - top > 80
    timeline = picture[top:bottom, left:right].reshape(-1, 3)

    def pixels(colour):
        return int((timeline == [int(colour[i:i + 2], 16) for i in (1, 3, 5)]).all(axis=1).sum())

    assert sum(pixels(colour) > 100 for colour in facts["operators"]) >= 4
    assert pixels(facts["accent"]) > 1000
    # The head's many small instructions are there too, and the page around the rows is not covered.
    assert len(np.unique(timeline, axis=0)) > 50
    assert pixels(facts["card"]) > 0.2 * len(timeline)
    assert sum(int(facts["card"][i:i + 2], 16) for i in (1, 3, 5)) < 150 or theme == "light"


def test_the_timeline_zooms_pans_and_holds_an_instruction(folder):
    result = answer(folder / "profile.html", """
      const spans = [], box = canvas.getBoundingClientRect();
      const at = (x, y) => ({ clientX: box.left + x, clientY: box.top + y, bubbles: true, cancelable: true, pointerId: 1 });
      const note = async () => { await sleep(60); spans.push([state.from, state.to]); };
      canvas.setPointerCapture = () => {};
      await note();
      for (let i = 0; i < 5; ++i) canvas.dispatchEvent(new WheelEvent("wheel", { ...at(700, 60), deltaY: -120 }));
      await note();
      canvas.dispatchEvent(new PointerEvent("pointerdown", at(700, 60)));
      canvas.dispatchEvent(new PointerEvent("pointermove", at(600, 60)));
      canvas.dispatchEvent(new PointerEvent("pointerup", at(600, 60)));
      await note();
      canvas.dispatchEvent(new MouseEvent("dblclick", at(700, 60)));
      await note();
      const event = view.events.find((one) => one.label.op.startsWith("Subgraph["));
      const x = (xOf(event.start) + xOf(event.end)) / 2, y = event.row.y + 5;
      canvas.dispatchEvent(new PointerEvent("pointermove", at(x, y)));
      const tip = at_tip();
      canvas.dispatchEvent(new PointerEvent("pointerdown", at(x, y)));
      canvas.dispatchEvent(new PointerEvent("pointerup", at(x, y)));
      function at_tip() { return document.getElementById("tip").innerText; }
      return { spans, tip, held: state.held && state.held.label.op, users: event.users.length };""")
    (start, end), zoomed, panned, again = result["spans"]
    assert start == 0 and end > 0
    assert 0 < zoomed[0] and zoomed[1] < end and zoomed[1] - zoomed[0] < 0.5 * end
    assert panned[0] > zoomed[0] and panned[1] - panned[0] == pytest.approx(zoomed[1] - zoomed[0])
    assert again == [start, end]
    assert result["tip"].startswith("Subgraph[") and "onednn" in result["tip"]
    assert "on the critical path" in result["tip"]
    assert result["held"].startswith("Subgraph[") and result["users"] > 0


def test_runs_can_be_chosen_and_tables_sorted_and_filtered(folder):
    result = answer(folder / "profile.html", """
      const names = () => [...document.querySelectorAll("#table tbody tr")].map((row) => row.cells[0].innerText.trim());
      const numbers = (i) => [...document.querySelectorAll("#table tbody tr")].map((row) => Number(row.cells[i].innerText.replace(/[^0-9.]/g, "")));
      const head = (i) => document.querySelectorAll("#table th")[i].click();
      const result = { sums: numbers(3), runs: [] };
      head(0); result.names = names();
      head(2); result.counts = numbers(2); head(2); result.rising = numbers(2);
      const filter = document.getElementById("filter");
      filter.value = "nonmax"; filter.dispatchEvent(new Event("input")); result.filtered = names();
      for (const button of [...document.querySelectorAll("#runs button")].keys()) {
        document.querySelectorAll("#runs button")[button].click();
        await sleep(60);
        result.runs.push([run.run, document.getElementById("run-name").innerText, Number(canvas.dataset.rectangles)]);
      }
      return result;""")
    assert len(result["sums"]) > 10 and result["sums"] == sorted(result["sums"], reverse=True)
    assert result["names"] == sorted(result["names"])
    assert result["counts"] == sorted(result["counts"], reverse=True) and result["rising"] == sorted(result["counts"])
    assert result["filtered"] == ["NonMaxSuppression"]
    assert [number for number, _, _ in result["runs"]] == list(range(RUNS))
    for number, name, rectangles in result["runs"]:
        assert name.startswith(f"run {number + 1} of {RUNS}: ") and rectangles > 50


def test_what_a_loop_runs_has_a_row_of_its_own(folder):
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (int64 n, float[9] x) => (float[9] y) { go = Constant <value = bool'
        ' {1}> () a = Relu(x) b = Loop (n, go, a) <body = b (int64 i, bool in, float[9] v) => (bool out, float[9] w)'
        ' { out = Identity(in) w = Mul(v, v) }> y = Neg(b) }')
    page = folder / "loop.html"
    lanner.compile(model).profile({"n": np.int64(4), "x": np.ones(9, np.float32)}, runs=2).html(page)
    rows = answer(page, "return view.rows.map((row) => [row.title, row.events.map((event) => event.label.op)]);")
    rows = {title: operators for title, operators in rows}
    assert rows["lane 0"] == rows["critical path"] == ["Relu", "Loop", "Neg"]
    assert rows["inside If, Loop"].count("Mul") == 4 and set(rows["inside If, Loop"]) <= {"Mul", "Identity"}


def test_a_comparison_shows_either_profile(folder):
    result = answer(folder / "compare.html", """
      const buttons = [...document.querySelectorAll("#profiles button")], shown = [];
      for (const button of buttons) {
        button.click();
        await sleep(60);
        shown.push([button.innerText, document.querySelector("#profiles [aria-pressed=true]").innerText, profile.title,
          Number(canvas.dataset.rectangles)]);
      }
      return shown;""")
    assert len(result) == 2 and result[0][0].startswith("With head rules") and result[1][0].startswith("Without head rules")
    for button, pressed, title, rectangles in result:
        assert button == pressed == title and rectangles > 40
