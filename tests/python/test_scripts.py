"""The scripts and tools of the checkout."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command, timeout=600):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, cwd=ROOT)


def python(*command):
    return run(sys.executable, *command)


# ---------------------------------------------------------------------------------------------------------------------
# scripts/


def test_the_demo_writes_its_files():
    from PIL import Image

    folder = ROOT / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    result = run("scripts/demo", timeout=1800)  # builds what changed since the last build
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("detections.png", "shapes.lanner", "trace.json", "profile.html"):
        assert f"build/demo/{name}" in result.stdout

    before = np.asarray(Image.open(ROOT / "models" / "shapes" / "example.png").convert("RGB"))
    after = np.asarray(Image.open(folder / "detections.png").convert("RGB"))
    assert before.shape == after.shape and (before != after).any()
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) >= 50
    assert (folder / "shapes.lanner").stat().st_size > 0
    assert "Without head rules, 1 lane" in result.stdout and "times as fast" in result.stdout
    assert (folder / "profile.html").read_text().endswith("</html>\n")


def test_the_demo_fails_with_its_steps(tmp_path):
    # The same script over a setup that does nothing and a command that fails.
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "demo", tmp_path / "scripts" / "demo")
    bin_folder = tmp_path / "build" / "release" / "bin"
    bin_folder.mkdir(parents=True)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for path, text in ((tmp_path / "scripts" / "setup", "exit 0"), (tmp_path / ".venv" / "bin" / "python", "exit 0"),
                       (bin_folder / "lanner", '[ "$1" != profile ] || exit 3')):
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    assert run(tmp_path / "scripts" / "demo").returncode == 3


def packages_and_what_they_need():
    """The packages of scripts/packages.txt and, transitively, those that they depend on."""
    depends = {}
    for line in run("dpkg-query", "-W", "-f", "${Package}\t${Depends}, ${Pre-Depends}, ${Provides}\n").stdout.splitlines():
        name, text = line.split("\t")
        names = (alternative.split()[0].split(":")[0] for part in text.split(",") if part.strip()
                 for alternative in part.split("|"))
        depends.setdefault(name, set()).update(names)
    lines = (ROOT / "scripts" / "packages.txt").read_text().splitlines()
    covered, waiting = set(), [line for line in lines if line and not line.startswith("#")]
    while waiting:
        name = waiting.pop()
        if name not in covered:
            covered.add(name)
            waiting.extend(depends.get(name, ()))
    return covered


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="the list is for Debian")
def test_the_package_list_covers_what_cmake_found():
    paths = set()
    for line in (ROOT / "build" / "release" / "CMakeCache.txt").read_text().splitlines():
        value = line.partition("=")[2]
        if ":" in line.partition("=")[0] and value.startswith("/usr/") and not value.startswith("/usr/local/"):
            if Path(value).is_file() or value.endswith(tuple("0123456789")) or "/cmake/" in value:
                paths.add(value)
    assert any("protobuf" in path for path in paths)
    covered = packages_and_what_they_need()
    for path in sorted(paths):
        owners = run("dpkg-query", "-S", path).stdout
        names = {name.split(":")[0] for line in owners.splitlines() for name in line.rpartition(": ")[0].split(", ")}
        assert not names or names & covered, f"{path} is of {names}, which scripts/packages.txt does not bring"


# ---------------------------------------------------------------------------------------------------------------------
# tools/


def test_every_include_is_allowed():
    result = python("tools/check_layers.py")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("file, line, fault", [
    ("src/vm/session.cpp", '#include "ir/graph.h"', "vm may not include ir/graph.h"),
    ("src/passes/engine.cpp", "#include <dnnl.hpp>", "passes may not include <dnnl.hpp>"),
    ("include/lanner/tensor.h", '#include "base/fail.h"', "a public header may include only public ones"),
    ("src/odd/odd.cpp", "", "its folder is not in layers.txt"),
])
def test_a_forbidden_include_is_found(tmp_path, file, line, fault):
    for name in ("src", "include"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "layers.txt", tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    with (tmp_path / file).open("a") as out:
        out.write(f"{line}\n")
    result = python("tools/check_layers.py", "--root", tmp_path)
    assert result.returncode == 1 and fault in result.stdout and len(result.stdout.splitlines()) == 1, result.stdout


def test_the_documents_name_what_exists():
    result = python("tools/check_docs.py")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("text, fault", [
    ("`src/vm/nothing.cpp`", "src/vm/nothing.cpp does not exist"),
    ("`nothing.cpp`", "nothing.cpp does not exist"),
    ("`src/passes/{engine,nothing}.cpp`", "does not exist"),
    ("`--no-such-flag`", "--no-such-flag is a flag of no subcommand and no script"),
    ("`lanner improve model.onnx`", "'lanner improve' is no subcommand"),
    ("```\nlanner compile model.onnx \\\n  --trace t.json\n```", "--trace is not in 'lanner compile --help'"),
    ("```bash\n$ scripts/build_libonnx --fast\n```", "scripts/build_libonnx has no --fast"),
])
def test_what_does_not_exist_is_found(tmp_path, text, fault):
    (tmp_path / "page.md").write_text(f"A page.\n\n{text}\n")
    result = python("tools/check_docs.py", tmp_path / "page.md")
    assert result.returncode == 1 and fault in result.stdout and len(result.stdout.splitlines()) == 1, result.stdout


def test_what_exists_passes(tmp_path):
    (tmp_path / "page.md").write_text("""\
`lanner profile MODEL --runs 50 --trace build/demo/trace.json`, `src/passes/`, `passes/engine.cpp`, `layers.txt`,
`src/*/*_test.cpp`, `scripts/{setup,test}`, `--disable-rule`, `tests/models/NAME.onnx.gz`, `lanner::Session`.

```bash
# everything
LANNER_SANITIZE=1 scripts/test && cmake --preset asan --no-such-flag
lanner compile model.onnx -o out/model.lanner --deny Conv@onednn
python tools/check_layers.py --root .
```

```python
path = "nothing/nothing.cpp"
```
""")
    result = python("tools/check_docs.py", tmp_path / "page.md")
    assert result.returncode == 0, result.stdout + result.stderr
