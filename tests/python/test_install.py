"""What users install: the wheel, the C++ libraries with find_package(Lanner), and which symbols and libraries they bring."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lanner

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build" / "release"
COMMAND = RELEASE / "bin" / "lanner"
SHAPES = ROOT / "models" / "shapes" / "shapes.onnx"


def run(*command, timeout=120, **options):
    """Runs a command and returns its standard output; fails with everything that it printed."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # With the compiler under the name it has in build/release, ccache gives what that build has compiled.
    cache = (RELEASE / "CMakeCache.txt").read_text()
    environment["CXX"] = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.MULTILINE)[1]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                            env=environment, **options)
    assert result.returncode == 0, f"{command} exited with {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


# ---------------------------------------------------------------------------------------------------------------------
# pip install


def pip_install(python, folder):
    """Installs the checkout into the environment of `python`, which sees no other packages."""
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    isolated = subprocess.run([*pip, "download", "--quiet", "--no-deps", "--dest", folder, "nanobind==3.1.0"],
                              capture_output=True, timeout=120).returncode == 0
    if isolated:
        run(*pip, "install", ROOT, timeout=1800)
        return
    # Without a package index the requirements come from the environment of the tests.
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, ROOT,
        timeout=1800)
    run(*pip, "install", "--no-index", "--no-deps", *Path(folder).glob("lanner-*.whl"))
    (site,) = python.parents[1].glob("lib/python3*/site-packages")
    for package in Path(np.__file__).parents[1].glob("numpy*"):
        (site / package.name).symlink_to(package)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pip")
    run(sys.executable, "-m", "venv", folder / "venv", timeout=300)
    pip_install(folder / "venv" / "bin" / "python", folder)
    return folder / "venv"


@pytest.mark.slow
def test_the_installed_command_runs(environment, tmp_path):
    assert run(environment / "bin" / "lanner", "--version", cwd=tmp_path) == f"lanner {lanner.__version__}\n"
    run(environment / "bin" / "lanner", "compile", SHAPES, "-o", tmp_path / "shapes.lanner", cwd=tmp_path)
    assert (tmp_path / "shapes.lanner").stat().st_size > 0


@pytest.mark.slow
def test_the_installed_package_compiles_and_runs(environment, tmp_path):
    script = f"""
import json
import numpy as np
import lanner
assert {str(ROOT)!r} not in lanner.__file__, lanner.__file__
outputs = lanner.compile({str(SHAPES)!r}).run({{"image": np.zeros((1, 3, 192, 192), np.float32)}})
print(json.dumps([lanner.__version__, {{name: value.tolist() for name, value in outputs.items()}}]))
"""
    version, outputs = json.loads(run(environment / "bin" / "python", "-c", script, cwd=tmp_path))
    assert version == lanner.__version__
    expected = lanner.compile(SHAPES).run({"image": np.zeros((1, 3, 192, 192), np.float32)})
    assert list(outputs) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(np.array(outputs[name]).reshape(value.shape), value, rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# cmake --install


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", RELEASE, "--prefix", folder)
    return folder


@pytest.fixture(scope="module")
def examples(prefix, tmp_path_factory):
    """The folder of the built examples/cpp/."""
    folder = tmp_path_factory.mktemp("examples")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run("cmake", "-S", ROOT / "examples" / "cpp", "-B", folder, f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_BUILD_TYPE=Debug", *generator)
    run("cmake", "--build", folder, timeout=300)
    return folder


def expected_lines():
    """What the examples print: each output's type and first elements, on inputs of zeros."""
    for name, value in lanner.compile(SHAPES).run({"image": np.zeros((1, 3, 192, 192), np.float32)}).items():
        shape = ",".join(str(size) for size in value.shape)
        yield f"{name}: {value.dtype}[{shape}]", value.ravel()[:4] if value.dtype == np.float32 else []


def check_printed(text):
    lines = text.splitlines()
    expected = list(expected_lines())
    assert len(lines) == len(expected)
    for line, (head, numbers) in zip(lines, expected):
        assert line.startswith(head)
        np.testing.assert_allclose([float(word) for word in line[len(head):].split()], numbers, rtol=1e-3, atol=1e-4)


def test_the_installation_holds_what_cpp_users_need(prefix):
    assert run(prefix / "bin" / "lanner", "--version") == f"lanner {lanner.__version__}\n"
    headers = {path.name for path in (ROOT / "include" / "lanner").iterdir()}
    assert {path.name for path in (prefix / "include" / "lanner").iterdir()} == headers
    assert not list(prefix.rglob("*.py")) and not list(prefix.rglob("_core*"))


def test_a_cpp_project_compiles_and_runs_a_model(examples):
    check_printed(run(examples / "compile_and_run", SHAPES))
    failed = subprocess.run([examples / "compile_and_run", "missing.onnx"], capture_output=True, text=True)
    assert failed.returncode == 1 and "[file.not_found]" in failed.stderr


def needed_libraries(path):
    return {line.split()[0] for line in run("ldd", path).splitlines()}


def test_the_runtime_alone_runs_a_program(examples, tmp_path):
    run(COMMAND, "compile", SHAPES, "-o", tmp_path / "shapes.lanner")
    program = examples / "run_program"
    check_printed(run(program, tmp_path / "shapes.lanner"))
    libraries = needed_libraries(program)
    assert any(name.startswith("liblanner_runtime.so") for name in libraries)
    assert not [name for name in libraries if re.match(r"liblanner\.so|libprotobuf|libonnx", name)]


def test_the_runtime_library_holds_no_compiler(prefix):
    (library,) = {path.resolve() for path in prefix.rglob("liblanner_runtime.so")}
    assert b"onnx::ModelProto" not in library.read_bytes()
    assert not [name for name in needed_libraries(library) if "protobuf" in name]


# ---------------------------------------------------------------------------------------------------------------------
# Symbols


def defined_symbols(path):
    """The demangled names of the dynamic symbols that the library defines."""
    lines = run("nm", "--dynamic", "--defined-only", "--demangle", path).splitlines()
    return [line.split(maxsplit=2)[2] for line in lines]


def public_words():
    """The words of the public headers: a visible symbol that is not made of them is no public one."""
    text = "\n".join(path.read_text() for path in (ROOT / "include" / "lanner").glob("*.h"))
    return set(re.findall(r"\w+", text))


@pytest.mark.parametrize("name", ["lanner", "lanner_runtime"])
def test_the_libraries_show_public_symbols_only(name):
    symbols = defined_symbols(RELEASE / "lib" / f"lib{name}.so")
    assert any(symbol.startswith("lanner::Session::run(") for symbol in symbols)
    assert any(symbol.startswith("lanner::compile(") for symbol in symbols) == (name == "lanner")
    public = public_words()
    for symbol in symbols:
        match = re.match(r"(?:typeinfo (?:name )?for |vtable for )?lanner::([\w:~]+)", symbol)
        assert match, f"{symbol} is not Lanner's"
        words = [word.lstrip("~") for word in match[1].split("::") if word.lstrip("~") != "operator"]
        assert set(words) <= public, f"{symbol} is in no public header"


def test_the_extension_shows_its_entry_only():
    (extension,) = (RELEASE / "python" / "lanner").glob("_core*.so")
    assert defined_symbols(extension) == ["PyInit__core"]
