"""The models that bench/ measures: how to make each one's file, and what it is given."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
from onnx.utils import Extractor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "models"), str(ROOT / "models" / "shapes")]

import backbones  # noqa: E402
import pictures  # noqa: E402
import rebuild  # noqa: E402

BUILT = ROOT / "build" / "models"


@dataclass(frozen=True)
class Model:
    name: str
    make: Callable  # () -> path of the .onnx file
    inputs: Callable  # () -> dict
    whole: bool = True  # a detector; otherwise a plain backbone, which every runtime takes whole
    torch: str = ""  # the same architecture in torchvision


def shapes_inputs():
    import evaluate
    import shapes_data

    return {"image": evaluate.network_input(shapes_data.validation_set()[0][0])}


def rebuilt(name):
    return lambda: rebuild.rebuild(name, BUILT / f"{name}.onnx")


def made(make):
    def path():
        BUILT.mkdir(parents=True, exist_ok=True)
        return make(BUILT)

    return path


def imagenet():
    return {"image": pictures.picture(1, 224, 224)[None]}


MODELS = {
    model.name: model
    for model in (
        Model("shapes", lambda: ROOT / "models" / "shapes" / "shapes.onnx", shapes_inputs),
        Model("ssdlite320", rebuilt("ssdlite320"), lambda: {"image": pictures.samples("ssdlite320")[0]}),
        Model("ssd300", rebuilt("ssd300"), lambda: {"image": pictures.samples("ssd300")[0]}),
        Model("fasterrcnn", rebuilt("fasterrcnn"), lambda: {"image": pictures.samples("fasterrcnn")[0]}),
        Model("yolov8n", rebuilt("yolov8n"), lambda: {"images": pictures.samples("yolov8n")[1][None]}),
        Model("resnet50", made(backbones.resnet50), imagenet, whole=False, torch="resnet50"),
        Model("vgg16", made(backbones.vgg16), imagenet, whole=False, torch="vgg16"),
    )
}
def of_file(path):
    """Any model as a Model, with random pictures of the sizes that it declares (1 where it declares none)."""
    path = Path(path)

    def inputs():
        graph = onnx.load(path, load_external_data=False).graph
        constants = {tensor.name for tensor in graph.initializer}
        random = np.random.default_rng(1)
        made = {}
        for value in graph.input:
            if value.name in constants:
                continue
            kind = value.type.tensor_type
            shape = [dim.dim_value or 1 for dim in kind.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            numbers = random.random(shape, dtype=np.float32)
            made[value.name] = numbers.astype(dtype) if dtype.kind == "f" else (255 * numbers).astype(dtype)
        return made

    return Model(path.stem, lambda: path, inputs)


DETECTORS = tuple(name for name, model in MODELS.items() if model.whole)
BACKBONES = tuple(name for name, model in MODELS.items() if not model.whole)


def dense_part(path, inputs, folder):
    """The part of a detector that runtimes without heads can run: from what the first convolution reads to the last
    convolutions, those that no other one follows. Returns the paths of the part as a model, and of its input as an .npz.
    A backbone is its own dense part."""
    import onnxruntime

    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    users = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    # One output channel: a weighted sum over what a YOLO's box is decoded from, no part of the network.
    convolutions = [node for node in graph.node if node.op_type == "Conv" and constants[node.input[1]].dims[0] > 1]
    outputs = {node.output[0] for node in convolutions}

    def is_followed(node):
        seen, waiting = set(), list(node.output)
        while waiting:
            for user in users.get(waiting.pop(), []):
                if user.output[0] in outputs:
                    return True
                if user.output[0] not in seen:
                    seen.add(user.output[0])
                    waiting += user.output
        return False

    first = convolutions[0].input[0]
    last = [node.output[0] for node in convolutions if not is_followed(node)]
    value = next(iter(inputs.values()))
    if first not in inputs:
        model.graph.output.append(onnx.ValueInfoProto(name=first))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (value,) = session.run([first], inputs)
        del model.graph.output[-1]
    part = Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([first], last)
    part.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(first, onnx.TensorProto.FLOAT, value.shape))
    del part.graph.value_info[:]  # may contradict the input's size
    for output in part.graph.output:
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, None))
    folder = Path(folder)
    onnx.save(part, folder / "dense.onnx")
    np.savez(folder / "dense.npz", **{first: value})
    return folder / "dense.onnx", folder / "dense.npz"
