"""The cases that bench/heads/compare.py measures: their models, inputs, and how many times faster Lanner has to be.

Names have no commas, so that --cases can list parts of them.
"""

import functools
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import backbones
import inputs
import pictures
import rebuild

OPSET = 18
HEAD_PASS = ("batch-heads",)
RECOGNISED = ("batch-class-nms", "batch-class-topk")  # without these roll-siblings takes what is left
MAX_BOXES, NMS_IOU, DENSE_THRESHOLD = 100, 0.5, 1e-8


@dataclass(frozen=True)
class Case:
    """`kind` is how it is measured: against the peers, lanes against each other, or by counting instructions. `model` and
    `peer_model` write the files that Lanner and the peers run, given a folder, and return the path; `side` is the
    picture's in boxes; `selections` says that the output is NonMaxSuppression's, whose order is not the same everywhere; `disabled` are the rules and passes
    that lanes are measured without."""

    name: str
    model: Callable
    inputs: Callable
    required: float = 0
    kind: str = "peers"
    other_model: Callable | None = None
    side: float = 1
    selections: bool = False
    disabled: tuple = HEAD_PASS

    def peer_model(self, folder):
        return (self.other_model or self.model)(folder)

    def kept(self, outputs):
        """How many boxes the outputs hold: the TensorFlow heads have a count as their last output."""
        last = outputs[-1]
        return int(last[0]) if last.shape == (1,) else len(last)


def fixture(name):
    def write(folder):
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(gzip.decompress((inputs.HEADS / f"{name}.onnx.gz").read_bytes()))
        return path

    return write


def whole(name, **changes):
    def write(folder):
        return rebuild.rebuild(name, Path(folder) / f"{name}.onnx", **changes)

    return write


def one_suppression(kind, threshold):
    """One NonMaxSuppression with inputs of the kind's sizes."""

    def write(folder):
        head = inputs.HEAD_KINDS[kind]
        count, class_count = len(head.anchors), head.class_count
        constants = {"limit": np.array([MAX_BOXES]), "iou_threshold": np.float32([NMS_IOU]),
                     "score_threshold": np.float32([threshold])}
        graph = helper.make_graph(
            [helper.make_node("NonMaxSuppression", ["boxes", "scores", *constants], ["selected"])], kind,
            [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, count, 4]),
             helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, class_count, count])],
            [helper.make_tensor_value_info("selected", TensorProto.INT64, [None, 3])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()])
        return save(graph, folder)

    return write


def save(graph, folder):
    path = Path(folder) / f"{graph.name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10), path)
    return path


def busy(kind):
    return functools.partial(inputs.busy, kind)


def pixels():
    return {"input_tensor": pictures.pixels(pictures.samples("ssd_mobilenetv2")[1])}


def picture():
    return {"image": pictures.samples("ssdlite320")[0]}


def image():
    return {"image": pictures.picture(1, 224, 224)[None]}


def unrolled(load):
    return fixture(f"tf_ssd_{load}_opset{OPSET}")


def batched(load):
    return fixture(f"tf_ssd_{load}_batched")


MOBILENET = "SSD-MobileNetV2"
CASES = (
    Case("tf head busy", unrolled("busy"), busy("tf_ssd"), 20),
    Case("tf head dense", unrolled("dense"), busy("tf_ssd"), 8),
    Case("torchvision head 1917 busy", fixture(f"tv_ssd_1917_opset{OPSET}"), busy("tv_ssd_1917"), 15, side=300),
    Case("torchvision head 8732 busy", fixture(f"tv_ssd_8732_opset{OPSET}"), busy("tv_ssd_8732"), 15, side=300),
    *(
        Case(f"tf head against batched {load}", unrolled(load), busy("tf_ssd"), required,
             other_model=batched(load))
        for load, required in (("busy", 3.5), ("dense", 3))
    ),
    *(
        Case(f"one nms {name} {load}", one_suppression(kind, threshold), busy(kind), 4, selections=True)
        for kind, name in (("nms_8400", "1×80×8400"), ("nms_25000", "1×90×25000"))
        for load, threshold in (("busy", inputs.TF_BUSY), ("dense", DENSE_THRESHOLD))
    ),
    Case(f"{MOBILENET} busy", whole("ssd_mobilenetv2"), pixels, 1 / 0.80),
    Case(f"{MOBILENET} dense", whole("ssd_mobilenetv2", score_threshold=DENSE_THRESHOLD), pixels, 1 / 0.55),
    Case("lanes tf head busy", unrolled("busy"), busy("tf_ssd"), 1.3, "lanes"),
    Case("lanes tf head dense", unrolled("dense"), busy("tf_ssd"), 1.5, "lanes"),
    Case("lanes tf head busy rolled", unrolled("busy"), busy("tf_ssd"), 1.3, "lanes", disabled=RECOGNISED),
    Case("lanes tf head dense rolled", unrolled("dense"), busy("tf_ssd"), 1.5, "lanes", disabled=RECOGNISED),
    Case("lanes ResNet50", backbones.resnet50, image, 0.98, "lanes"),
    Case("instructions SSDlite320", whole("ssdlite320"), picture, kind="instructions"),
    Case(f"instructions {MOBILENET}", whole("ssd_mobilenetv2"), pixels, kind="instructions"),
)
