"""Lanner behind ONNX's backend interface (onnx.backend.base), for tools and tests; needs the package `onnx`.

    import lanner.backend
    outputs = lanner.backend.prepare(onnx_model).run([array, ...])

Inputs are given in the model's order, as a list, or by name, as a mapping; a single array is a list of one. Outputs come
in the model's order. Keyword arguments are those of lanner.compile. Errors are lanner.Error.
"""

from __future__ import annotations

import collections.abc

import numpy as np
import onnx
import onnx.backend.base
import onnx.defs
import onnx.helper
import onnx.shape_inference

import lanner
from lanner import _core


class LannerBackendRep(onnx.backend.base.BackendRep):
    """A compiled model that takes its inputs by position."""

    def __init__(self, model: lanner.Model):
        self.model = model
        self._names = [value.name for value in model.inputs]
        self._required = [value.name for value in model.inputs if not value.optional]
        self._outputs = [value.name for value in model.outputs]

    def run(self, inputs, **kwargs):
        """The outputs, as a tuple that takes names as indices, too. Inputs with defaults may be left out together."""
        if kwargs:
            raise TypeError(f"run() takes no {', '.join(kwargs)}")
        results = self.model.run(self._by_name(inputs))
        values = [results[name] for name in self._outputs]
        return onnx.backend.base.namedtupledict("Outputs", self._outputs)(*values)

    def _by_name(self, inputs):
        if isinstance(inputs, collections.abc.Mapping):
            return inputs
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        names = self._required if len(inputs) == len(self._required) else self._names
        if len(inputs) != len(names):
            reason = "input.missing" if len(inputs) < len(names) else "input.unknown"
            needed = ", ".join(f"'{name}'" for name in names)
            raise _core.make_error(reason, f"{len(inputs)} inputs are given, but the model has {len(names)}: {needed}")
        return dict(zip(names, inputs, strict=True))


class LannerBackend(onnx.backend.base.Backend):
    """What onnx.backend.test.BackendTest takes."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **options) -> bool:
        """Whether prepare() takes the model: it is compiled to find out."""
        try:
            cls.prepare(model, device, **options)
        except lanner.Error:
            return False
        return True

    @classmethod
    def prepare(cls, model, device: str = "CPU", **options) -> LannerBackendRep:
        """Compiles an onnx.ModelProto, its bytes or the file of that path. Raises lanner.Error, as lanner.compile."""
        if not cls.supports_device(device):
            raise _core.make_error("option.device", f"device must be 'CPU', but is '{device}'")
        return LannerBackendRep(lanner.compile(model, **options))

    @classmethod
    def run_model(cls, model, inputs, device: str = "CPU", **options):
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(cls, node: onnx.NodeProto, inputs, device: str = "CPU", outputs_info=None, **options):
        """Runs one node on arrays, lists of arrays or None, one for each input that the node names. `opset_version` is
        that of the node's operator, by default the newest. `outputs_info`, types and shapes of the outputs, is needed
        where ONNX cannot infer their types."""
        opset = options.pop("opset_version", onnx.defs.onnx_opset_version())
        if isinstance(inputs, collections.abc.Mapping):
            inputs = [inputs[name] for name in node.input if name]
        return cls.run_model(_model_of(node, list(inputs), outputs_info, opset), inputs, device, **options)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device.partition(":")[0].upper() == "CPU"


prepare = LannerBackend.prepare
run_model = LannerBackend.run_model
run_node = LannerBackend.run_node
supports_device = LannerBackend.supports_device
is_compatible = LannerBackend.is_compatible


def _model_of(node, inputs, outputs_info, opset):
    """A model of nothing but `node`."""
    names = [name for name in node.input if name]
    if len(names) != len(inputs):
        raise _core.make_error(
            "input.missing", f"{len(inputs)} inputs are given, but the node reads {len(names)}: {', '.join(names)}")
    types = {name: _type_of(value) for name, value in zip(names, inputs, strict=True)}
    written = [name for name in node.output if name]
    imports = [onnx.helper.make_opsetid(node.domain, opset)]
    if outputs_info is not None:
        outputs = {
            name: onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
            for name, (dtype, shape) in zip(written, outputs_info, strict=True)
        }
    else:
        try:
            schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
            outputs = onnx.shape_inference.infer_node_outputs(schema, node, types, opset_imports=imports)
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError) as error:
            raise _core.make_error("model.invalid", f"in {node.op_type}: {error}") from None
    graph = onnx.helper.make_graph(
        [node], "node",
        [onnx.helper.make_value_info(name, types[name]) for name in dict.fromkeys(names)],
        [onnx.helper.make_value_info(name, outputs.get(name, onnx.TypeProto())) for name in written])
    return onnx.helper.make_model(graph, opset_imports=imports)


def _type_of(value) -> onnx.TypeProto:
    if isinstance(value, (list, tuple)) and all(isinstance(item, np.ndarray) for item in value) and value:
        element = onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(value[0].dtype), None)
        return onnx.helper.make_sequence_type_proto(element)
    array = np.asarray(value)
    kind = np.dtype(object) if array.dtype.kind in "US" else array.dtype
    return onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(kind), array.shape)
