"""Images of any size, one after the other: the same results as ONNX Runtime, and memory that stays flat. bench/soak.py is the
long form."""

import numpy as np
import pytest

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import free_size  # noqa: E402
import lanner  # noqa: E402

REQUESTS = 1200
MOST_GROWTH_KIB = 1024


def resident_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def requests(seeds):
    return [{"image": free_size.image(seed, *size)} for seed in seeds for size in free_size.SIZES]


@pytest.mark.parametrize("options", [{}, {"disable_rules": ["all"], "deny": ["@onednn"]}], ids=["full", "native"])
def test_agrees_with_onnx_runtime(options):
    proto = free_size.model()
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    model = lanner.compile(proto, threads=2, **options)
    for request in requests((1, 2)):
        expected = dict(zip(("boxes", "scores", "labels"), session.run(None, request)))
        outputs = model.run(request)
        assert len(expected["labels"]) > 10
        np.testing.assert_array_equal(outputs["labels"], expected["labels"])
        for name in ("boxes", "scores"):
            np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_stays_flat_when_sizes_alternate(threads):
    model = lanner.compile(free_size.model(), threads=threads)
    feeds = requests(range(5))
    memory = []
    for i in range(REQUESTS):
        model.run(feeds[i % len(feeds)])
        if (i + 1) % (REQUESTS // 12) == 0:
            memory.append(resident_kib())
    assert max(memory[4:]) - max(memory[:4]) < MOST_GROWTH_KIB, memory
