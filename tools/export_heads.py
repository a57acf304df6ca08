#!/usr/bin/env python3
"""Exports detection heads as the fixtures tests/models/heads/NAME.onnx.gz, and lists them in the README.md there.

    python tools/export_heads.py tensorflow [--opsets 11,18] [--anchors 1917] [--classes 90] [-o DIR]
    python tools/export_heads.py torchvision [--opsets 11,18] [-o DIR]

The two halves need different environments, and each imports its own framework only: `tensorflow` needs tensorflow-cpu
2.15.1, tf2onnx 1.17.0, onnx 1.16.2 and numpy 1.26; `torchvision` needs torch 2.15.0, torchvision 0.29.2
and onnx.

TensorFlow. A head in the style of the TensorFlow Object Detection API (the post-processing of its frozen SSD graphs): box
coder with scales 10, 10, 5, 5, sigmoid scores, and for each class a score filter (Greater, where, gather),
tf.image.non_max_suppression, gather, a fill with the class; then concatenation, sort, clipping to the picture, pruning of
empty boxes, and padding to 100. Inputs: raw_box_encodings [1,N,4], raw_class_logits [1,N,classes+1], the background first.

    tf_ssd_{busy,dense}_opset*      unrolled over the classes; score threshold 0.3, or the API's default of 1e-8
    tf_ssd_{busy,dense}_batched     the same head with one NonMaxSuppression over all classes, edited by hand in ONNX, as
                                    TensorFlow has no such operator
    tf_v5_opset*                    the API's later form: no filter, tf.image.non_max_suppression_with_scores, and padding
                                    to 100 for each of 10 classes

Another run gives the same graphs, but other names to some of their values.

torchvision. The real post-processing methods of its detectors with their own settings, exported by PyTorch's
TorchScript-based exporter. Inputs: box_regression [1,N,4] and cls_logits [1,N,91]; class 0 is the background of the SSDs,
and FCOS has a centerness [1,N,1], too.

    tv_ssd_{1917,8732}_opset*       SSD.postprocess_detections: softmax, filter and the best 400 for each class, batched_nms
    tv_retinanet_opset*             RetinaNet.postprocess_detections on a picture of 256×256: filter and the best 1,000
                                    for each level, batched_nms
    tv_fcos_opset*                  FCOS.postprocess_detections, likewise
"""

import argparse
import collections
import gzip
import io
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

HEADS = Path(__file__).resolve().parents[1] / "tests" / "models" / "heads"
sys.path.insert(0, str(HEADS))

import anchors  # noqa: E402
from compact_model import all_nodes  # noqa: E402

BEGIN, END = "<!-- fixtures:begin -->", "<!-- fixtures:end -->"
OPSETS = "11,18"

CODER_SCALES = (10.0, 10.0, 5.0, 5.0)
THRESHOLDS = {"busy": 0.3, "dense": 1e-8}
IOU_THRESHOLD = 0.6
MAX_PER_CLASS = MAX_TOTAL = 100
PADDED_CLASSES = 10


class ObjectDetectionHead:
    """The post-processing of one picture, in TensorFlow."""

    def __init__(self, tf, anchors, class_count, threshold, padded=False):
        self.tf, self.anchors, self.class_count, self.threshold = tf, anchors, class_count, threshold
        self.suppress = self.suppress_padded if padded else self.suppress_filtered

    def decode(self, encodings):
        tf = self.tf
        centre_y, centre_x, height, width = tf.unstack(tf.transpose(tf.constant(self.anchors)))
        ty, tx, th, tw = tf.unstack(tf.transpose(encodings))
        scale_y, scale_x, scale_h, scale_w = CODER_SCALES
        h, w = tf.exp(th / scale_h) * height, tf.exp(tw / scale_w) * width
        y, x = ty / scale_y * height + centre_y, tx / scale_x * width + centre_x
        return tf.transpose(tf.stack([y - h / 2.0, x - w / 2.0, y + h / 2.0, x + w / 2.0]))

    def suppress_filtered(self, boxes, scores):
        """Boxes and scores of one class that pass the score filter and then suppression."""
        tf = self.tf
        passing = tf.cast(tf.reshape(tf.where(tf.greater(scores, self.threshold)), [-1]), tf.int32)
        boxes, scores = tf.gather(boxes, passing), tf.gather(scores, passing)
        limit = tf.minimum(MAX_PER_CLASS, tf.shape(boxes)[0])
        kept = tf.image.non_max_suppression(boxes, scores, limit, iou_threshold=IOU_THRESHOLD)
        return tf.gather(boxes, kept), tf.gather(scores, kept)

    def suppress_padded(self, boxes, scores):
        """The same by the operator's own score threshold, padded with the first box and a score of 0."""
        tf = self.tf
        limit = tf.minimum(MAX_PER_CLASS, tf.shape(boxes)[0])
        kept, kept_scores = tf.image.non_max_suppression_with_scores(
            boxes, scores, limit, iou_threshold=IOU_THRESHOLD, score_threshold=self.threshold)
        missing = limit - tf.shape(kept)[0]
        kept = tf.concat([kept, tf.zeros(tf.expand_dims(missing, 0), tf.int32)], 0)
        kept_scores = tf.concat([kept_scores, tf.zeros(tf.expand_dims(missing, 0), tf.float32)], 0)
        return tf.gather(boxes, kept), kept_scores

    def pad_or_clip(self, values):
        tf = self.tf
        missing = MAX_TOTAL - tf.minimum(MAX_TOTAL, tf.shape(values)[0])
        padded = tf.pad(values[:MAX_TOTAL], [[0, missing]] + [[0, 0]] * (len(values.shape) - 1))
        padded.set_shape([MAX_TOTAL, *values.shape[1:]])
        return padded

    def __call__(self, encodings, logits):
        """`encodings` [N,4] and `logits` [N,classes+1] to boxes [100,4], scores [100], classes [100] and their count."""
        tf = self.tf
        boxes, scores = self.decode(encodings), tf.sigmoid(logits)[:, 1:]
        anchor_count = tf.shape(scores)[0]
        kept = []
        for index in range(self.class_count):
            class_scores = tf.reshape(tf.slice(scores, [0, index], tf.stack([anchor_count, 1])), [-1])
            class_boxes, class_scores = self.suppress(boxes, class_scores)
            kept.append((class_boxes, class_scores, tf.zeros_like(class_scores) + float(index)))
        boxes, scores, classes = (tf.concat(values, 0) for values in zip(*kept))

        _, order = tf.nn.top_k(scores, tf.shape(scores)[0], sorted=True)
        boxes, scores, classes = tf.gather(boxes, order), tf.gather(scores, order), tf.gather(classes, order)
        boxes = tf.stack([tf.clip_by_value(side, 0.0, 1.0) for side in tf.unstack(boxes, axis=1)], 1)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        visible = tf.cast(tf.reshape(tf.where(tf.greater(area, 0.0)), [-1]), tf.int32)
        boxes, scores, classes = tf.gather(boxes, visible), tf.gather(scores, visible), tf.gather(classes, visible)
        count = tf.minimum(MAX_TOTAL, tf.shape(scores)[0])
        classes = self.pad_or_clip(classes) + 1.0
        return self.pad_or_clip(boxes), self.pad_or_clip(scores), classes, tf.cast(count, tf.float32)


OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def convert(tf, function, signature, opset):
    """The ONNX model tf2onnx makes of `function`, whose results are named OUTPUTS."""
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(tf.function(function), input_signature=signature, opset=opset)
    for node in model.graph.node:
        node.ClearField("doc_string")
    return model


def signature_of(tf, anchors, class_count):
    return [
        tf.TensorSpec([1, len(anchors), 4], tf.float32, "raw_box_encodings"),
        tf.TensorSpec([1, len(anchors), class_count + 1], tf.float32, "raw_class_logits"),
    ]


def tensorflow_head(tf, anchors, class_count, threshold, opset, padded=False):
    head = ObjectDetectionHead(tf, anchors, class_count, threshold, padded)

    def function(encodings, logits):
        results = head(encodings[0], logits[0])
        return {name: tf.expand_dims(result, 0, name=name) for name, result in zip(OUTPUTS, results)}

    return convert(tf, function, signature_of(tf, anchors, class_count), opset)


def batched_head(tf, anchors, class_count, threshold, opset):
    """The outputs of `tensorflow_head`, as someone would write it who knows ONNX: what tf2onnx makes of decoding and
    scores, then one NonMaxSuppression, and one TopK over its boxes followed by as many empty ones as make 100."""
    head = ObjectDetectionHead(tf, anchors, class_count, threshold)

    def front(encodings, logits):
        scores = tf.transpose(tf.sigmoid(logits)[:, :, 1:], [0, 2, 1])
        return {"boxes": tf.expand_dims(head.decode(encodings[0]), 0, name="boxes"), "scores": scores}

    model = convert(tf, front, signature_of(tf, anchors, class_count), opset)
    graph = model.graph
    model.producer_name += ", then onnx.helper"
    del graph.output[:]

    def constant(name, value):
        graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def add(operator, inputs, output, **attributes):
        graph.node.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    zero, one, two = (constant(f"batched/{value}", np.array([value], np.int64)) for value in range(3))
    four = constant("batched/4", np.array([4], np.int64))
    limit = constant("batched/limit", np.array([MAX_PER_CLASS], np.int64))
    iou_threshold = constant("batched/iou_threshold", np.array([IOU_THRESHOLD], np.float32))
    score_threshold = constant("batched/score_threshold", np.array([threshold], np.float32))
    origin = constant("batched/origin", np.array(0, np.float32))
    unit = constant("batched/unit", np.array(1, np.float32))
    class_and_box = constant("batched/class_and_box", np.array([1, 2], np.int64))
    total = constant("batched/total", np.array([MAX_TOTAL], np.int64))

    kept = add("NonMaxSuppression", ["boxes", "scores", limit, iou_threshold, score_threshold], "kept")
    index = add("Gather", [kept, class_and_box], "kept_class_and_box", axis=1)
    box_index = add("Squeeze", [add("Slice", [index, one, two, one], "kept_box_column"), one], "kept_box")
    class_index = add("Squeeze", [add("Slice", [index, zero, one, one], "kept_class_column"), one], "kept_class")
    scores = add("GatherND", [add("Squeeze", ["scores", zero], "scores_of_picture"), index], "kept_scores")
    boxes = add("Gather", [add("Squeeze", ["boxes", zero], "boxes_of_picture"), box_index], "kept_boxes")
    boxes = add("Clip", [boxes, origin, unit], "clipped_boxes")
    classes = add("Cast", [class_index], "kept_classes", to=onnx.TensorProto.FLOAT)

    corners = [add("Slice", [boxes, start, end, one], f"corner_{start}") for start, end in ((zero, two), (two, four))]
    sides = add("Sub", corners[::-1], "sides")
    area = add("ReduceProd", [sides, one] if opset >= 18 else [sides], "area", keepdims=0,
               **({} if opset >= 18 else {"axes": [1]}))
    visible = add("NonZero", [add("Greater", [area, origin], "has_area")], "visible_row")
    visible = add("Squeeze", [visible, zero], "visible")

    def padded(name, values, *row):
        padding = constant(f"batched/no_{name}", np.zeros((MAX_TOTAL, *row), np.float32))
        return add("Concat", [add("Gather", [values, visible], f"visible_{name}"), padding], f"padded_{name}", axis=0)

    boxes, scores, classes = padded("boxes", boxes, 4), padded("scores", scores), padded("classes", classes)
    graph.node.append(helper.make_node("TopK", [scores, total], ["best_scores", "best"]))
    add("Unsqueeze", ["best_scores", zero], OUTPUTS[1])
    add("Unsqueeze", [add("Gather", [boxes, "best"], "best_boxes"), zero], OUTPUTS[0])
    add("Unsqueeze", [add("Add", [add("Gather", [classes, "best"], "best_classes"), unit], "labels"), zero], OUTPUTS[2])
    count = add("Min", [add("Shape", [visible], "visible_count"), total], "count")
    add("Cast", [count], OUTPUTS[3], to=onnx.TensorProto.FLOAT)
    shapes = dict(zip(OUTPUTS, ([1, MAX_TOTAL, 4], [1, MAX_TOTAL], [1, MAX_TOTAL], [1])))
    for name, shape in sorted(shapes.items()):  # as tf2onnx orders them
        graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(model, full_check=True)
    return model


def export_tensorflow(options):
    """Yields (name, model)."""
    import tensorflow as tf

    grid = anchors.object_detection_api(options.anchors)
    for opset in options.opsets:
        for load, threshold in THRESHOLDS.items():
            yield f"tf_ssd_{load}_opset{opset}", tensorflow_head(tf, grid, options.classes, threshold, opset)
        padded = tensorflow_head(tf, grid, PADDED_CLASSES, THRESHOLDS["busy"], opset, padded=True)
        yield f"tf_v5_opset{opset}", padded
    for load, threshold in THRESHOLDS.items():
        yield f"tf_ssd_{load}_batched", batched_head(tf, grid, options.classes, threshold, options.opsets[-1])


COCO_CLASSES = 91  # of torchvision's detectors, the background first
SSD_SIDE = 300  # of the picture


def export_torchvision(options):
    """Yields (name, model)."""
    import torch
    from torchvision.models import detection
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.image_list import ImageList

    torch.nn.Identity.out_channels = 1  # the constructors ask a backbone for it

    def bare(detector, *arguments, **keywords):
        """A detector with nothing before its post-processing."""
        return detector(torch.nn.Identity(), *arguments, head=torch.nn.Identity(), **keywords)

    def anchors_of(generator, sides, picture_side):
        picture = ImageList(torch.zeros(1, 3, picture_side, picture_side), [(picture_side, picture_side)])
        return generator(picture, [torch.zeros(1, 1, side, side) for side in sides])[0]

    def check(corners, rows, picture_side):
        """That anchors.py has the same ones."""
        left, top, right, bottom = corners.T / picture_side
        ours = np.stack([(top + bottom) / 2, (left + right) / 2, bottom - top, right - left], 1)
        np.testing.assert_allclose(rows, ours, atol=1e-6)

    class Ssd(torch.nn.Module):
        inputs = {"box_regression": 4, "cls_logits": COCO_CLASSES}

        def __init__(self, ratios, sides, **settings):
            super().__init__()
            self.detector = bare(
                detection.ssd.SSD, DefaultBoxGenerator(ratios, **settings), (SSD_SIDE, SSD_SIDE), COCO_CLASSES)
            self.anchors = anchors_of(self.detector.anchor_generator, sides, SSD_SIDE)

        def forward(self, box_regression, cls_logits):
            outputs = {"bbox_regression": box_regression, "cls_logits": cls_logits}
            return self.detector.postprocess_detections(outputs, [self.anchors], [(SSD_SIDE, SSD_SIDE)])

    class Pyramid(torch.nn.Module):
        """RetinaNet or FCOS, from the concatenated outputs of the levels on."""

        def __init__(self, detector, inputs):
            super().__init__()
            self.detector, self.inputs = bare(detector, COCO_CLASSES), inputs
            generator = self.detector.anchor_generator
            shapes = generator.num_anchors_per_location()
            self.counts = [side * side * count for side, count in zip(anchors.PYRAMID_SIDES, shapes)]
            self.anchors = anchors_of(generator, anchors.PYRAMID_SIDES, anchors.PYRAMID_PICTURE)

        def forward(self, *values):
            names = ("bbox_regression", "cls_logits", "bbox_ctrness")
            outputs = {name: list(value.split(self.counts, dim=1)) for name, value in zip(names, values)}
            levels = [list(self.anchors.split(self.counts))]
            return self.detector.postprocess_detections(outputs, levels, [(anchors.PYRAMID_PICTURE,) * 2])

    def export(module, opset):
        inputs = tuple(torch.zeros(1, len(module.anchors), size) for size in module.inputs.values())
        (found,) = module.eval()(*inputs)
        data = io.BytesIO()
        torch.onnx.export(module, inputs, data, dynamo=False, opset_version=opset, input_names=list(module.inputs),
                          output_names=list(found))
        model = onnx.load_model_from_string(data.getvalue())
        for node in all_nodes(model.graph):
            node.ClearField("doc_string")
        return model

    small = Ssd([[2], *[[2, 3]] * 5], anchors.SSD_SIDES)
    first_map = torch.arange(anchors.SSD_SIDES[0] ** 2 * 4)
    others = torch.arange(len(first_map), len(small.anchors))
    small.anchors = small.anchors[torch.cat([first_map[first_map % 4 != 1], others])]
    check(small.anchors, anchors.torchvision_ssd(1917), SSD_SIDE)
    large = Ssd([[2], [2, 3], [2, 3], [2, 3], [2], [2]], anchors.VGG_SIDES,
                scales=list(anchors.VGG_SCALES), steps=list(anchors.VGG_STEPS))
    check(large.anchors, anchors.torchvision_ssd(8732), SSD_SIDE)
    deltas = {"box_regression": 4, "cls_logits": COCO_CLASSES}
    retinanet = Pyramid(detection.retinanet.RetinaNet, deltas)
    check(retinanet.anchors, anchors.retinanet(), anchors.PYRAMID_PICTURE)
    fcos = Pyramid(detection.fcos.FCOS, {**deltas, "centerness": 1})
    check(fcos.anchors, anchors.fcos(), anchors.PYRAMID_PICTURE)
    heads = {"tv_ssd_1917": small, "tv_ssd_8732": large, "tv_retinanet": retinanet, "tv_fcos": fcos}
    for name, module in heads.items():
        for opset in options.opsets:
            yield f"{name}_opset{opset}", export(module, opset)


EXPORTS = {"tensorflow": export_tensorflow, "torchvision": export_torchvision}


def write(folder, name, model):
    path = folder / f"{name}.onnx.gz"
    path.write_bytes(gzip.compress(model.SerializeToString(), mtime=0))
    print(f"{path.name}: {path.stat().st_size} bytes, {len(list(all_nodes(model.graph)))} nodes", flush=True)


def write_table(folder):
    """Lists every fixture of the folder between the markers of its README.md."""
    lines = ["| file | exporter | opset | bytes | nodes | NonMaxSuppression | TopK | NonZero |", "| --- |" + " --- |" * 7]
    for path in sorted(folder.glob("*.onnx.gz")):
        model = onnx.load_model_from_string(gzip.decompress(path.read_bytes()))
        counts = collections.Counter(node.op_type for node in all_nodes(model.graph))
        opset = next(entry.version for entry in model.opset_import if not entry.domain)
        figures = [opset, path.stat().st_size, sum(counts.values())]
        figures += [counts[operator] for operator in ("NonMaxSuppression", "TopK", "NonZero")]
        name, comma, editor = model.producer_name.partition(",")
        exporter = f"{name} {model.producer_version.split()[0]}{comma}{editor}"
        lines.append(f"| `{path.name}` | {exporter} | " + " | ".join(map(str, figures)) + " |")
    readme = folder / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=EXPORTS)
    parser.add_argument("--opsets", default=OPSETS, type=lambda text: [int(opset) for opset in text.split(",")])
    parser.add_argument("--anchors", type=int, default=1917, help="of the TensorFlow heads")
    parser.add_argument("--classes", type=int, default=90, help="of the TensorFlow heads")
    parser.add_argument("-o", "--output", type=Path, default=HEADS, help="folder; only the default one has a table")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, model in EXPORTS[options.framework](options):
        write(options.output, name, model)
    if options.output == HEADS:
        write_table(HEADS)


if __name__ == "__main__":
    main()
