"""The small models of tests/models/small/: what every exporter writes, in configurations that compile and run quickly.

They are stored as rebuild.py says and rebuilt under the name `small/NAME`. tools/export_small.py (torchvision, transformers,
ultralytics) and tools/export_small_keras.py wrote them; tests/python/test_small_models.py compares them with ONNX Runtime,
and tools/write_models_page.py lists them in docs/models.md.
"""

from dataclasses import dataclass

import numpy as np

import pictures

TORCHSCRIPT = "torch.onnx, dynamo=False"
DYNAMO = "torch.onnx, dynamo=True"
ULTRALYTICS = "ultralytics"
TF2ONNX = "tf2onnx"
EXPORTERS = (TORCHSCRIPT, DYNAMO, ULTRALYTICS, TF2ONNX)


@dataclass(frozen=True)
class Small:
    name: str
    exporter: str
    title: str
    result: str  # what the outputs are; tests/python/detections.py compares each kind
    seeds: tuple = (1, 2)  # of the pictures it is tested with: some in which rounding moves nothing
    fails: str = ""  # what the error says with which it does not compile yet


MODELS = {model.name: model for model in (
    Small("retinanet", TORCHSCRIPT, "torchvision RetinaNet, narrow ResNet with FPN", "lists"),
    Small("retinanet_dynamo", DYNAMO, "torchvision RetinaNet, narrow ResNet with FPN", "lists"),
    Small("fcos", TORCHSCRIPT, "torchvision FCOS, narrow ResNet with FPN", "lists"),
    Small("ssdlite_dynamo", DYNAMO, "torchvision SSDlite, MobileNetV3, 160 px", "lists"),
    Small("maskrcnn", TORCHSCRIPT, "torchvision Mask R-CNN, narrow ResNet with FPN", "lists"),
    Small("keypointrcnn", TORCHSCRIPT, "torchvision Keypoint R-CNN, narrow ResNet with FPN", "lists"),
    Small("detr", TORCHSCRIPT, "transformers DETR", "queries"),
    Small("detr_dynamo", DYNAMO, "transformers DETR", "queries"),
    Small("conditional_detr_dynamo", DYNAMO, "transformers Conditional DETR", "queries"),
    Small("yolos_dynamo", DYNAMO, "transformers YOLOS", "queries"),
    Small("rt_detr", TORCHSCRIPT, "transformers RT-DETR", "queries"),
    Small("rt_detr_dynamo", DYNAMO, "transformers RT-DETR", "queries"),
    Small("yolov8", ULTRALYTICS, "YOLOv8, width 0.125", "columns"),
    Small("yolov8_nms", ULTRALYTICS, "YOLOv8, width 0.125, nms=True", "rows"),
    Small("yolo11", ULTRALYTICS, "YOLO11, width 0.125", "columns", seeds=(2, 3)),
    Small("yolo11_nms", ULTRALYTICS, "YOLO11, width 0.125, nms=True", "rows"),
    Small("rtdetr_ultralytics", ULTRALYTICS, "RT-DETR, ResNet-50 of a quarter of the width", "rows"),
    Small("keras_efficientdet", TF2ONNX, "Keras EfficientNet with BiFPN, combined_non_max_suppression", "lists"),
    Small("keras_centernet", TF2ONNX, "Keras MobileNetV2 with transposed convolutions, peaks of a heat map", "lists",
          seeds=(2, 3)),
)}


def inputs_of(model, proto):
    """Sample inputs for the loaded model `proto`: one dict a picture, in the layout and type that its input has."""
    (value,) = proto.graph.input
    shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    last = shape[-1] == 3
    height, width = shape[-3:-1] if last else shape[-2:]
    samples = []
    for seed in model.seeds:
        picture = pictures.picture(seed, height, width)
        if last:
            picture = np.round(picture * 255).astype(np.float32).transpose(1, 2, 0)
        samples.append({value.name: picture.reshape(shape)})
    return samples
