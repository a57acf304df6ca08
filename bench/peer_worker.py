"""One runtime with one model in a process of its own: driven by compare_peers.py and heads/compare.py over lines of JSON
on stdin and stdout.

Commands: {"do": "load", "model": PATH, "threads": N} (for Lanner also "lanes"), {"do": "run", "count": N}, {"do": "save",
"path": NPZ}, which writes the outputs in the model's order, {"do": "memory"}. A worker sleeps while another one is measured.
"""

import json
import sys
import time

import numpy as np


class Lanner:
    def __init__(self):
        import lanner

        self.lanner = lanner

    def load(self, path, threads, **settings):
        load = self.lanner.load if path.endswith(".lanner") else self.lanner.compile
        return load(path, threads=threads, **settings).run


class OnnxRuntime:
    def __init__(self):
        import onnxruntime

        self.onnxruntime = onnxruntime

    def load(self, path, threads):
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = self.onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda inputs: session.run(None, inputs)


class OpenVino:
    def __init__(self):
        import openvino

        self.core = openvino.Core()

    def load(self, path, threads):
        # Its best settings for one request at a time, in float32.
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        request = self.core.compile_model(path, "CPU", settings).create_infer_request()
        return lambda inputs: request.infer(inputs)


RUNTIMES = {"lanner": Lanner, "onnxruntime": OnnxRuntime, "openvino": OpenVino}


def memory_mib():
    """Resident memory now and at its highest."""
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {key: int(fields[field].split()[0]) / 1024 for key, field in (("now", "VmRSS"), ("peak", "VmHWM"))}


def main():
    runtime = RUNTIMES[sys.argv[1]]()
    inputs = dict(np.load(sys.argv[2]))
    run = None
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "load":
            settings = {key: value for key, value in command.items() if key not in ("do", "model")}
            start = time.perf_counter()
            run = runtime.load(command["model"], **settings)
            answer = {"load_ms": 1e3 * (time.perf_counter() - start)}
            start = time.perf_counter()
            run(inputs)
            answer["first_ms"] = 1e3 * (time.perf_counter() - start)
        elif command["do"] == "run":
            times = []
            for _ in range(command["count"]):
                start = time.perf_counter()
                run(inputs)
                times.append(1e3 * (time.perf_counter() - start))
            answer = {"ms": times}
        elif command["do"] == "save":
            outputs = run(inputs)
            np.savez(command["path"], *(outputs.values() if hasattr(outputs, "values") else outputs))
            answer = {}
        else:
            answer = memory_mib()
        print(json.dumps(answer), flush=True)


main()
