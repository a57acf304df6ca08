"""Runs the suite's node cases through ONNX Runtime and says which it refuses or gets wrong: what onnx_runtime.txt lists.

    python tests/conformance/peer.py [GLOB...]      prints every case that fails there, with the list's reason if it has one

A model says which IR version and opset it is of, and ONNX Runtime takes none newer than it knows. Where the
operator has not changed since, the case runs as one of the newest versions that it does take, so that only what it computes
counts. Left out are newer operators, cases of several nodes (what an operator is made of, where it fails, fails as itself),
types that ONNX Runtime's Python package cannot hand over, and locales that this machine does not have. A case runs in a
process of its own.
"""

import argparse
import fnmatch
import functools
import json
import os
import sys
import warnings

import cases
import numpy as np
import onnx
import onnxruntime
from onnx import defs, helper, numpy_helper

LIST = "onnx_runtime.txt"
UNASKED = "not asked"
PACKED = ("int4", "uint4", "int2", "uint2")


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _takes(ir_version: int, opset: int) -> bool:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "empty", [value], [value])
    model = helper.make_model(graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])
    try:
        _session(model)
    except Exception:
        return False
    return True


@functools.cache
def newest_versions() -> tuple[int, int]:
    """Of the IR and of ONNX's own opset, that ONNX Runtime takes."""
    ir_version = next(version for version in range(onnx.IR_VERSION, 7, -1) if _takes(version, 17))
    return ir_version, next(version for version in range(defs.onnx_opset_version(), 16, -1) if _takes(8, version))


def aged(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model in versions that ONNX Runtime takes; None where an operator's document is newer."""
    ir_version, newest = newest_versions()
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.ir_version = min(result.ir_version, ir_version)
    for opset in result.opset_import:
        if opset.domain or opset.version <= newest:
            continue
        if any(not node.domain and defs.get_schema(node.op_type, opset.version, "").since_version > newest
               for node in cases.nodes_of(result.graph)):
            return None
        opset.version = newest
    return result


def _is_packed(info: onnx.ValueInfoProto) -> bool:
    element = info.type.tensor_type.elem_type
    return element not in (0, onnx.TensorProto.STRING) and helper.tensor_dtype_to_np_dtype(element).name in PACKED


def _given(value, info: onnx.ValueInfoProto):
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if info.type.WhichOneof("value") != "tensor_type":
        return value
    element = info.type.tensor_type.elem_type
    if element == onnx.TensorProto.STRING:
        return np.asarray(value, dtype=object)
    array = np.array(np.asarray(value), dtype=helper.tensor_dtype_to_np_dtype(element), order="C")
    if array.dtype.isbuiltin == 1:
        return array
    bits = array.view(np.uint16 if array.itemsize == 2 else np.uint8)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, element)


def _results(session, inputs: dict, graph: onnx.GraphProto) -> list:
    if not any(isinstance(value, onnxruntime.OrtValue) for value in inputs.values()):
        return session.run(None, inputs)
    lent = {name: value if isinstance(value, onnxruntime.OrtValue) else onnxruntime.OrtValue.ortvalue_from_numpy(value)
            for name, value in inputs.items()}
    results = []
    for value, info in zip(session.run_with_ort_values(None, lent), graph.output, strict=True):
        array = value.numpy()
        kind = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        results.append(array.view(kind) if array.dtype != kind and array.dtype.itemsize == kind.itemsize else array)
    return results


def failure(case) -> str | None:
    """Why ONNX Runtime fails a case, or None where it passes; UNASKED where it cannot be known."""
    model = aged(case.model) if len(case.model.graph.node) == 1 else None
    if model is None or any(_is_packed(info) for info in (*model.graph.input, *model.graph.output)):
        return UNASKED
    try:
        session = _session(model)
        for inputs, expected in case.data_sets or []:
            given = {info.name: _given(value, info) for value, info in zip(inputs, model.graph.input)}
            results = _results(session, given, model.graph)
            wanted = [numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value for value in expected]
            try:
                cases.assert_similar(wanted, results, rtol=case.rtol, atol=case.atol)
            except AssertionError as error:
                return "differs: " + "; ".join(line.strip() for line in str(error).splitlines() if line.strip())[:300]
    except Exception as error:
        why = " ".join(str(error).split())
        return UNASKED if "No corresponding Numpy type" in why or "locale" in why else f"refuses: {why[:300]}"
    return None


def failure_apart(case) -> str | None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.write(write, json.dumps(failure(case)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else "crashes"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("globs", nargs="*", default=["*"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    listed = cases.read_list(LIST)
    for case in cases.node_cases():
        if not any(fnmatch.fnmatchcase(case.name, glob) for glob in arguments.globs):
            continue
        why = failure_apart(case)
        if why not in (None, UNASKED):
            entry = cases.find(listed, "full", case.name)
            print(f"{case.name}  {entry.reason if entry else 'NOT LISTED'}\n    {why}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
