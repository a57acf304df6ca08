"""Plain backbones with generated weights, batch normalisations already folded, as every exporter writes them."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18


class Backbone:
    """A graph that grows node by node from one picture of 224 × 224."""

    def __init__(self, name):
        self.name, self.nodes, self.weights = name, [], []
        self.random = np.random.Generator(np.random.PCG64(1))

    def add(self, operator, operands, **attributes):
        self.nodes.append(helper.make_node(operator, operands, [f"v{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def weight(self, *shape):
        """Keeps the size of what goes through a ReLU and these weights."""
        values = self.random.normal(0, (2 / np.prod(shape[1:], dtype=float)) ** 0.5, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def convolution(self, x, channels, outputs, size=1, stride=1):
        pads = [size // 2] * 4
        operands = [x, self.weight(outputs, channels, size, size), self.weight(outputs)]
        return self.add("Conv", operands, strides=[stride] * 2, pads=pads, kernel_shape=[size] * 2)

    def save(self, folder, output, shape):
        graph = helper.make_graph(
            self.nodes, self.name, [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)], self.weights)
        path = Path(folder) / f"{self.name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10), path)
        return path


def resnet50(folder):
    """A chain of convolutions with a branch of one in four blocks, and the classifier."""
    net = Backbone("resnet50")
    x = net.add("Relu", [net.convolution("image", 3, 64, 7, 2)])
    x, channels = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            short = net.convolution(x, channels, 4 * width, 1, step) if block == 0 else x
            y = net.add("Relu", [net.convolution(x, channels, width)])
            y = net.add("Relu", [net.convolution(y, width, width, 3, step)])
            x = net.add("Relu", [net.add("Add", [net.convolution(y, width, 4 * width), short])])
            channels = 4 * width
    x = net.add("Flatten", [net.add("GlobalAveragePool", [x])])
    x = net.add("Gemm", [x, net.weight(1000, channels), net.weight(1000)], transB=1)
    return net.save(folder, x, [1, 1000])


def vgg16(folder):
    """The convolutions of VGG16, without its classifier."""
    net = Backbone("vgg16")
    x, channels = "image", 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x, channels = net.add("Relu", [net.convolution(x, channels, width, 3)]), width
        x = net.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    return net.save(folder, x, [1, 512, 7, 7])
