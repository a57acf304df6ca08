"""What the comparisons share: runtimes in processes of their own, the machine's name, and tables in Markdown files."""

import json
import platform
import subprocess
import sys
from pathlib import Path


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


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def put_table(path, name, text):
    """Puts the text between <!-- name:begin --> and <!-- name:end --> of the file."""
    begin, end = (f"<!-- {name}:{edge} -->" for edge in ("begin", "end"))
    before, found, rest = path.read_text().partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        sys.exit(f"{path.name} has no {begin} ... {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
