"""What the comparisons share: runtimes in processes of their own, what each one loads, the machine's name, and tables in
Markdown files."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TITLES = {
    "lanner": "Lanner", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "ncnn": "ncnn", "pytorch": "PyTorch"}
PACKAGES = {"pytorch": "torch"}


class Worker:
    def __init__(self, runtime, inputs):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("peer_worker.py")), runtime, str(inputs)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[2]} ended with status {self.process.wait()}")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def is_installed(runtime):
    try:
        version(PACKAGES.get(runtime, runtime))
    except PackageNotFoundError:
        return False
    return True


def compiled(model, threads, path, **options):
    import lanner

    lanner.compile(model, threads=threads, **options).save(path)
    return path


def ncnn_model(onnx_path):
    """Converts a model with pnnx, keeping float32 weights. Returns the path of the .param file, or None where pnnx cannot."""
    # The program in the package; the package itself would import PyTorch.
    program = Path(importlib.util.find_spec("pnnx").origin).with_name("pnnx")
    result = subprocess.run([program, onnx_path.name, "fp16=0"], cwd=onnx_path.parent, capture_output=True, text=True)
    param = onnx_path.with_suffix(".ncnn.param")
    return param if result.returncode == 0 and param.exists() else None


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def conditions(script, runtimes, threads=None, precision="float32"):
    """The sentence that begins every table."""
    peers = ", ".join(
        f"{TITLES[runtime]} {version(PACKAGES.get(runtime, runtime)).split('-')[0].split('+')[0]}"
        for runtime in runtimes if runtime != "lanner")
    with_threads = f", {threads} threads" if threads else ""
    return f"Measured by `{script}` on {cpu_name()} ({os.cpu_count()} cores){with_threads}, {precision}{peers and '; ' + peers}."


def put_table(path, name, text):
    """Puts the text between <!-- name:begin --> and <!-- name:end --> of the file."""
    begin, end = (f"<!-- {name}:{edge} -->" for edge in ("begin", "end"))
    before, found, rest = path.read_text().partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        sys.exit(f"{path.name} has no {begin} ... {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
