"""One runtime with one model in a process of its own: driven by the scripts of bench/ over lines of JSON on stdin and
stdout.

Commands: {"do": "load", "model": PATH, "threads": N}, optionally with "precision" and "sessions" (for Lanner also
"lanes"); {"do": "run", "count": N}; {"do": "serve", "seconds": S}, in which every session answers one request after
another; {"do": "save", "path": NPZ}, which writes the outputs in the model's order; {"do": "memory"}. A worker sleeps while
another one is measured.

Every runtime's load() returns a list of functions from inputs to outputs, one a session; they may run at once.
"""

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np


class Lanner:
    def __init__(self):
        import lanner

        self.lanner = lanner

    def load(self, path, threads, sessions=1, precision="f32", **settings):
        if path.endswith(".lanner"):
            model = self.lanner.load(path, threads=threads, sessions=sessions, **settings)
        else:
            model = self.lanner.compile(path, threads=threads, sessions=sessions, precision=precision, **settings)
        return [model.run] * sessions


class OnnxRuntime:
    def __init__(self):
        import onnxruntime

        self.onnxruntime = onnxruntime

    def load(self, path, threads, sessions=1):
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        made = [self.onnxruntime.InferenceSession(path, options, providers=providers) for _ in range(sessions)]
        return [lambda inputs, session=session: session.run(None, inputs) for session in made]


class OpenVino:
    def __init__(self):
        import openvino

        self.core = openvino.Core()

    def load(self, path, threads, sessions=1, precision="f32"):
        settings = {
            "INFERENCE_NUM_THREADS": threads * sessions,
            "PERFORMANCE_HINT": "LATENCY" if sessions == 1 else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": precision,
        }
        if sessions > 1:
            settings["NUM_STREAMS"] = sessions
        model = self.core.compile_model(path, "CPU", settings)
        requests = [model.create_infer_request() for _ in range(sessions)]
        return [lambda inputs, request=request: request.infer(inputs) for request in requests]


class Ncnn:
    """Takes the .param file that pnnx made; its weights lie beside it. Tensors have no batch dimension."""

    def __init__(self):
        import ncnn

        self.ncnn = ncnn

    def load(self, path, threads, precision="f32"):
        net = self.ncnn.Net()
        options = net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = precision == "bf16"
        net.load_param(path)
        net.load_model(str(Path(path).with_suffix(".bin")))
        outputs = net.output_names()

        def run(inputs):
            (value,) = inputs.values()
            extractor = net.create_extractor()
            extractor.input(net.input_names()[0], self.ncnn.Mat(value[0]))
            return [np.array(extractor.extract(name)[1]) for name in outputs]

        return [run]


class PyTorch:
    """Takes the name of a torchvision classifier instead of a file: VGG16 without its classifier. The faster of TorchScript
    optimised for inference and torch.compile, both with channels last."""

    def __init__(self):
        import torch
        import torchvision

        self.torch, self.torchvision = torch, torchvision

    def load(self, name, threads):
        torch = self.torch
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        torch.manual_seed(1)
        model = self.torchvision.models.get_model(name, weights=None).eval()
        if name == "vgg16":
            model = model.features
        model = model.to(memory_format=torch.channels_last)
        example = torch.rand(1, 3, 224, 224).to(memory_format=torch.channels_last)
        torch._inductor.config.freezing = True
        candidates = [
            torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, example))),
            torch.compile(model),
        ]

        def best_of(candidate, count=8):
            times = []
            for _ in range(count):
                start = time.perf_counter()
                candidate(example)
                times.append(time.perf_counter() - start)
            return min(times)

        fastest = min(candidates, key=best_of)

        def run(inputs):
            (value,) = inputs.values()
            return [fastest(torch.from_numpy(value).to(memory_format=torch.channels_last)).numpy()]

        return [run]


RUNTIMES = {"lanner": Lanner, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn, "pytorch": PyTorch}


def timed(run, inputs):
    """Milliseconds of one run."""
    start = time.perf_counter()
    run(inputs)
    return 1e3 * (time.perf_counter() - start)


def serve(sessions, inputs, seconds):
    """Requests per second of all sessions together, and the milliseconds of every request. None begins after the time."""
    times = []

    def answer(run):
        while time.perf_counter() < end:
            times.append(timed(run, inputs))

    callers = [threading.Thread(target=answer, args=(run,)) for run in sessions]
    start = time.perf_counter()
    end = start + seconds
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return {"seconds": time.perf_counter() - start, "ms": times}


def memory_mib():
    """Resident memory now and at its highest."""
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {key: int(fields[field].split()[0]) / 1024 for key, field in (("now", "VmRSS"), ("peak", "VmHWM"))}


def main():
    runtime = RUNTIMES[sys.argv[1]]()
    inputs = dict(np.load(sys.argv[2]))
    sessions = []
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "load":
            settings = {key: value for key, value in command.items() if key not in ("do", "model")}
            start = time.perf_counter()
            sessions = runtime.load(command["model"], **settings)
            answer = {"load_ms": 1e3 * (time.perf_counter() - start)}
            answer["first_ms"] = timed(sessions[0], inputs)
        elif command["do"] == "run":
            answer = {"ms": [timed(sessions[0], inputs) for _ in range(command["count"])]}
        elif command["do"] == "serve":
            answer = serve(sessions, inputs, command["seconds"])
        elif command["do"] == "save":
            outputs = sessions[0](inputs)
            np.savez(command["path"], *(outputs.values() if hasattr(outputs, "values") else outputs))
            answer = {}
        else:
            answer = memory_mib()
        print(json.dumps(answer), flush=True)


main()
