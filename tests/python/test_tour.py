"""The documents do what they say: their commands run, and print what the page shows.

Blocks marked `sh` and `python` run in order, in one folder for each page. A block marked `toml` becomes config.toml. A block
marked `output` shows lines that the block before it prints, in order; `…` stands for anything. Blocks that install or
build are left out, and so are the other languages.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALLS = re.compile(r"\b(scripts/|pip |cmake )")
REASON = re.compile(r'"((?:backend|config|deny|detect|file|fold|graph|image|input|memory|model|npz|op|option|placement|'
                    r'program|report|rule)\.[a-z_-]+)"')


@pytest.fixture
def folder(tmp_path):
    """What the pages expect around them: the models, and a model and a picture of the reader's."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    shutil.copy(ROOT / "models" / "shapes" / "shapes.onnx", tmp_path / "model.onnx")
    shutil.copy(ROOT / "models" / "shapes" / "example.png", tmp_path / "picture.jpg")
    return tmp_path


def run(language, code, folder):
    command = ["bash", "-euc", code] if language == "sh" else [sys.executable, "-c", code]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{code}\nexited with {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


def assert_shows(shown, printed):
    """Every line of `shown` is one of `printed`, in this order."""
    lines = iter(line.rstrip() for line in printed.splitlines())
    for line in shown.splitlines():
        if line.strip() == "…":
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in re.split(r"\s*…\s*", line.rstrip())))
        assert any(pattern.fullmatch(candidate) for candidate in lines), f"not printed: {line}\n\nprinted:\n{printed}"


@pytest.mark.parametrize("page", ["README.md", "docs/tour.md", "docs/commands.md"])
def test_the_blocks_of_a_page_run(page, folder):
    printed, count = None, 0
    for language, code in BLOCK.findall((ROOT / page).read_text()):
        if language == "toml":
            (folder / "config.toml").write_text(code)
        elif language == "output":
            assert printed is not None, f"nothing runs before this output:\n{code}"
            assert_shows(code, printed)
        elif language in ("sh", "python") and not INSTALLS.search(code):
            printed = run(language, code, folder)
            count += 1
    assert count >= 2


def test_the_cpp_block_compiles(tmp_path):
    blocks = [code for language, code in BLOCK.findall((ROOT / "docs" / "commands.md").read_text()) if language == "cpp"]
    assert len(blocks) == 1
    (tmp_path / "block.cpp").write_text(blocks[0])
    command = ["c++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", "block.cpp"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_a_line_that_is_not_printed_is_found():
    assert_shows("a … c\n…\nd", "a b c\nx\nd\n")
    for shown in ("d\na", "a … d", "a", "x…"):
        with pytest.raises(AssertionError, match="not printed"):
            assert_shows(shown, "a b c\nd\n")


def test_every_reason_word_is_explained():
    used = set()
    for path in [*(ROOT / "src").rglob("*"), *(ROOT / "python").rglob("*")]:
        if path.suffix in (".cpp", ".h", ".py") and not path.stem.endswith(("_test", "_testing")):
            code = "\n".join(line.split("//")[0] for line in path.read_text().splitlines())
            used.update(REASON.findall(code))
            used.update(re.findall(r"\[([a-z.]+)\]\\n", code))  # printed by the command itself
    listed = re.findall(r"^\| `([a-z._-]+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert listed == sorted(used)


def test_every_dependency_has_its_reason():
    section = (ROOT / "docs" / "architecture.md").read_text().split("## Dependencies")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    explained = sorted(name for row in rows for name in re.findall(r"`([^`]+)`", row))
    lines = [line for name in ("packages.txt", "requirements.txt")
             for line in (ROOT / "scripts" / name).read_text().splitlines()]
    assert explained == sorted(line.split("==")[0] for line in lines if line and not line.startswith("#"))
