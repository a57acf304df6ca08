"""Writes docs/operators.md: for each operator of ONNX the element types that it takes, who runs it, and its cases.

    python tests/conformance/operators.py           writes the page
    python tests/conformance/operators.py --check   fails where the page is not what it would write

Types are asked of the kernels: of each operator one case of the suite (or one of TEMPLATES) is run in the native form with
each type that the operator's document allows, type parameter by type parameter; what runs and gives the declared type is
taken. Cases are counted from the lists, which test_conformance.py holds to what passes. Where ONNX Runtime differs stands in
onnx_runtime.txt, which test_onnx_runtime.py checks.
"""

import argparse
import collections
import functools
import itertools
import re
import sys
import typing
import warnings

import cases
import lanner.backend
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, defs, helper, numpy_helper, parser

ROOT = cases.FOLDER.parents[1]
PAGE = ROOT / "docs" / "operators.md"
HEAD = """# Operators

Every operator of ONNX (package `onnx` {version}) that Lanner runs, in its newest version; older models are upgraded. Written
by `tests/conformance/operators.py`.

- **element types**: what it takes for each type parameter of its document, where that leaves a choice.
- **not taken**: what the document allows beyond that. Complex numbers and floats of 6 bits, which no operator takes, are
  left out.
- **run by**: `native` is a kernel of Lanner's own; `as others` means that the operator is written out as those by which ONNX
  defines it, or that the VM runs it itself; `oneDNN` that this library takes it in float32 (and, with `--precision`, many in
  bfloat16) where it finds it worth its while. `lanner explain` says for a model who runs each node, and why.
- **cases**: of ONNX's own test suite those of the operator alone that pass, of all of them if some do not.

| operator | element types | not taken | run by | cases |
| --- | --- | --- | --- | --- |
"""
MISSING = """
## Without a kernel

{names}.

Models with these are refused with one error that lists all of them. `tests/conformance/unsupported.txt` has reasons.
"""
OWN = """
## Operators of Lanner's own

Rewrite rules make these, in the domain `lanner`; models do not contain them: {names}.
"""
DIFFERENCES = """
## Where ONNX Runtime differs from the operator documents

Found by running the suite's cases through ONNX Runtime {version} (`tests/conformance/peer.py`), as one of the newest
versions that it takes; operators newer than that are left out. Lanner does what the document says in each. Two of ONNX's own
definitions of operators by others do not, either: Bernoulli's draws 1 with the probability of 0, and AffineGrid's fails for a
single image; Lanner has kernels for both.

| operator | ONNX Runtime | cases |
| --- | --- | --- |
"""

# Whatever their bodies take.
WITH_BODIES = ("If", "Loop", "Scan", "SequenceMap")
# What says an output's type.
TYPE_ATTRIBUTES = ("to", "dtype", "output_datatype", "output_dtype")
TENSOR_ATTRIBUTES = ("value", "default_tensor", "values_tensor")
KEY_ATTRIBUTES = ("keys_tensor",)
# Types that nothing takes.
UNHELD = ("complex64", "complex128", "float6_e2m3fn", "float6_e3m2fn")
# What text calls several types at once, in the order in which they are named.
FAMILIES = {
    "float16–64": ("float16", "float32", "float64"),
    "float32–64": ("float32", "float64"),
    "int8–64": ("int8", "int16", "int32", "int64"),
    "int32–64": ("int32", "int64"),
    "uint8–64": ("uint8", "uint16", "uint32", "uint64"),
    "uint32–64": ("uint32", "uint64"),
    "float8": ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
    "float8 but e8m0": ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    "int2–4": ("int4", "int2"),
    "uint2–4": ("uint4", "uint2"),
}
ORDER = ["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
         "uint64", "bool", "string", "int4", "int2", "uint4", "uint2", "float4_e2m1fn"]


class Template(typing.NamedTuple):
    """A model of one node, and inputs by name."""

    model: onnx.ModelProto
    inputs: dict


def template(text: str, **inputs) -> Template:
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : {defs.onnx_opset_version()}]> g {text}')
    return Template(model, inputs)


def templates_of_our_own():
    """Of operators for which the suite has no case of them alone."""
    x = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    image = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    place = np.array(0, np.int64)
    yield template("(float[2,3] x) => (optional(float[2,3]) y) { y = Optional(x) }", x=x)
    yield template("(seq(float[2,3]) x) => (optional(seq(float[2,3])) y) { y = Optional(x) }", x=[x])
    yield template("(optional(float[2,3]) x) => (optional(float[2,3]) y) { y = Identity(x) }", x=x)
    yield template("(float[2,3] x) => (bool y) { y = OptionalHasElement(x) }", x=x)
    yield template("(seq(float[2,3]) x) => (bool y) { y = OptionalHasElement(x) }", x=[x])
    yield template("(optional(seq(float[2,3])) x) => (bool y) { y = OptionalHasElement(x) }", x=[x])
    yield template("(seq(float[2,3]) s) => (int64 y) { y = SequenceLength(s) }", s=[x, x])
    yield template("(seq(float[2,3]) s, int64 i) => (float[2,3] y) { y = SequenceAt(s, i) }", s=[x, x], i=place)
    yield template("(float[2,3] x) => (seq(float[2,3]) y) { y = SequenceConstruct(x, x) }", x=x)
    yield template("(seq(float[2,3]) s) => (float[4,3] y) { y = ConcatFromSequence<axis: int = 0>(s) }", s=[x, x])
    yield template("(seq(float[2,3]) s, int64 i) => (seq(float[2,3]) y) { y = SequenceErase(s, i) }", s=[x, x], i=place)
    yield template("() => (seq(float) y) { y = SequenceEmpty<dtype: int = 1>() }")
    for name in ("RandomNormal", "RandomUniform"):
        yield template(f"() => (float[2] y) {{ y = {name}<dtype: int = 1, shape: ints = [2], seed: float = 1.0>() }}")
        yield template(f"(float[2,3] x) => (float[2,3] y) {{ y = {name}Like<dtype: int = 1, seed: float = 1.0>(x) }}", x=x)
    yield template("(float[1,2,4,4] x, float[1,5] r) => (float[1,2,2,2] y) { y = MaxRoiPool<pooled_shape: ints = [2,2]>(x, r) }",
                   x=image, r=np.array([[0, 0, 0, 3, 3]], np.float32))
    yield template("(float[1,2,4,4] x) => (float[1,2,1,1] y) { y = GlobalLpPool(x) }", x=image)
    yield template("(float[1,8,1] x, int64 n) => (float[1,5,2] y) { y = DFT<onesided: int = 1>(x, n) }",
                   x=image.reshape(4, 8, 1)[:1], n=np.array(8, np.int64))
    yield template("(float[2,3] x) => (int32[2,4] y) { y = Multinomial<dtype: int = 6, sample_size: int = 4, seed: float = 1.0>(x) }",
                   x=x)


def name_of(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


@functools.cache
def all_templates() -> dict[str, list[Template]]:
    found = collections.defaultdict(list)
    for case in cases.node_cases():
        graph = case.model.graph
        if len(graph.node) == 1 and case.data_sets:
            values = [_array(value) for value in case.data_sets[0][0]]
            inputs = {info.name: value for info, value in zip(graph.input, values)}
            found[name_of(graph.node[0])].append(Template(case.model, inputs))
    for own in templates_of_our_own():
        found[name_of(own.model.graph.node[0])].append(own)
    return found


def _array(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


# ---- types ---------------------------------------------------------------------------------------------------------

def wrapping(text: str) -> tuple[str, str]:
    """A type of a document, 'seq(tensor(float))', as what is around the tensor, 'seq({})', and NumPy's name."""
    match = re.fullmatch(r"(.*?)tensor\((\w+)\)(.*)", text)
    if match is None:
        return text, ""
    element = TensorProto.DataType.Value(match[2].upper())
    return match[1] + "{}" + match[3], "string" if element == TensorProto.STRING else _numpy_name(element)


def _numpy_name(element: int) -> str:
    return helper.tensor_dtype_to_np_dtype(element).name


def _element(name: str) -> int:
    if name == "string":
        return TensorProto.STRING
    return next(value for value in TensorProto.DataType.values()
                if value not in (0, TensorProto.STRING) and _numpy_name(value) == name)


def wrapping_of(kind: onnx.TypeProto) -> str:
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return "{}"
    if which in ("sequence_type", "optional_type"):
        return {"sequence_type": "seq", "optional_type": "optional"}[which] + f"({wrapping_of(getattr(kind, which).elem_type)})"
    return ""


def set_element(kind: onnx.TypeProto, element: int):
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        kind.tensor_type.elem_type = element
    elif which in ("sequence_type", "optional_type"):
        set_element(getattr(kind, which).elem_type, element)


def converted(value, name: str):
    """The value with another element type; whatever numbers come of it."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [converted(item, name) for item in value]
    array = np.asarray(value)
    if name == "string":
        return array.astype(str).astype(object)
    if array.dtype.kind in "OUS":
        array = np.arange(array.size).reshape(array.shape)
    kind = helper.tensor_dtype_to_np_dtype(_element(name))
    return np.asarray(np.asarray(array, np.float32 if kind.isbuiltin != 1 else array.dtype), dtype=kind)


def formals(declared, count: int) -> list[str]:
    """The type of each of a node's inputs or outputs; the last may stand for several."""
    types = [formal.type_str for formal in declared]
    return types[:count] + types[-1:] * (count - len(types))


def with_type(schema: defs.OpSchema, start: Template, parameter: str, around: str, name: str, *,
              linked: bool) -> Template | None:
    """The template with `parameter` bound to a type; None where it has nothing of that parameter, or in another form. With
    `linked` every other parameter that has the same element type gets the new one, too."""
    model = onnx.ModelProto()
    model.CopyFrom(start.model)
    node = model.graph.node[0]
    infos = {info.name: info for info in (*model.graph.input, *model.graph.output)}
    inputs = dict(start.inputs)
    of_inputs = formals(schema.inputs, len(node.input))
    values = [(value, kind) for value, kind in itertools.chain(
        zip(node.input, of_inputs), zip(node.output, formals(schema.outputs, len(node.output)))) if value]
    bound = [value for value, kind in values if kind == parameter]
    if not bound or any(wrapping_of(infos[value].type) != around for value in bound):
        return None
    parameters = {constraint.type_param_str for constraint in schema.type_constraints}
    before = element_of(infos[bound[0]].type)
    changed = {kind for value, kind in values if kind == parameter or (
        linked and kind in parameters and element_of(infos[value].type) == before)}
    if linked and any(name in schema.attributes for name in TYPE_ATTRIBUTES):
        ends = set(node.output) | ({node.input[0]} if parameter not in of_inputs else set())
        changed |= {kind for value, kind in values if value in ends and kind in parameters}
    element = _element(name)
    for value, kind in values:
        if kind in changed:
            set_element(infos[value].type, element)
            if value in inputs:
                inputs[value] = converted(inputs[value], name)
    for kind in changed:
        set_attributes(schema, node, element, of_input=kind in of_inputs, linked=linked)
    return Template(model, inputs)


def element_of(kind: onnx.TypeProto) -> int:
    which = kind.WhichOneof("value")
    return kind.tensor_type.elem_type if which == "tensor_type" else element_of(getattr(kind, which).elem_type)


def set_attributes(schema: defs.OpSchema, node: onnx.NodeProto, element: int, *, of_input: bool, linked: bool):
    """What says the type of an output, or holds values of an input's type. A linked output has the input's type."""
    for name in TYPE_ATTRIBUTES:
        if name in schema.attributes and (not of_input or linked):
            for attribute in [attribute for attribute in node.attribute if attribute.name == name]:
                node.attribute.remove(attribute)
            node.attribute.append(helper.make_attribute(name, element))
    for attribute in node.attribute:
        if attribute.name in (KEY_ATTRIBUTES if of_input else TENSOR_ATTRIBUTES):
            shape = list(attribute.t.dims)
            count = int(np.prod(shape))
            values = [b"1"] * count if element == TensorProto.STRING else [1] * count
            attribute.t.CopyFrom(helper.make_tensor("", element, shape, values))


def runs(made: Template) -> bool:
    """Whether it compiles, runs, and gives what the model declares."""
    try:
        outputs = lanner.compile(made.model, **cases.FORMS["native"]).run(made.inputs)
    except lanner.Error:
        return False
    for info in made.model.graph.output:
        if info.type.WhichOneof("value") != "tensor_type":
            continue
        element = info.type.tensor_type.elem_type
        kind = np.dtype(object) if element == TensorProto.STRING else helper.tensor_dtype_to_np_dtype(element)
        if outputs[info.name].dtype != kind:
            return False
    return True


MOST_TRIES = 12  # of templates for one type


def takes(schema: defs.OpSchema, name: str, parameter: str, kind: str) -> bool:
    around, element = wrapping(kind)
    if not element or element in UNHELD:
        return False
    for linked in (False, True):
        made = (with_type(schema, start, parameter, around, element, linked=linked) for start in all_templates()[name])
        if any(runs(one) for one in itertools.islice((one for one in made if one is not None), MOST_TRIES)):
            return True
    return False


# ---- text ----------------------------------------------------------------------------------------------------------

def named(elements: set[str]) -> str:
    """'float16–64, bfloat16, int8–64', or 'all'."""
    rest, words = set(elements), []
    for family, members in FAMILIES.items():
        if rest.issuperset(members):
            rest -= set(members)
            words.append((ORDER.index(members[0]) if members[0] in ORDER else len(ORDER), family))
    words += [(ORDER.index(element) if element in ORDER else len(ORDER), element) for element in rest]
    return ", ".join(word for _, word in sorted(words))


def described(kinds: list[str]) -> str:
    """The types by what is around them: 'int64, uint8, sequences of int64'."""
    groups = collections.defaultdict(set)
    for around, element in map(wrapping, kinds):
        groups[around].add(element)
    words = {"{}": "", "seq({})": "sequences of ", "optional({})": "optional ", "optional(seq({}))": "optional sequences of "}
    tensors = groups.get("{}")
    parts = []
    for around, prefix in words.items():
        if around in groups:
            same = around != "{}" and groups[around] == tensors
            parts.append(prefix + ("the same" if same else named(groups[around])))
    return "; ".join(parts)


def kernels() -> set[str]:
    return set(re.findall(r"^LANNER_OPERATOR\((\w+),", (ROOT / "src/kernels/operators.def").read_text(), re.MULTILINE))


def takes_onednn(name: str) -> bool:
    """Whether oneDNN runs some case of the operator, with its data or with all but the first input constant."""
    for start in all_templates()[name]:
        for constant in (False, True):
            model = onnx.ModelProto()
            model.CopyFrom(start.model)
            if constant:
                if not all(isinstance(value, np.ndarray) for value in start.inputs.values()):
                    continue
                for value in list(model.graph.input)[1:]:
                    array = np.asarray(start.inputs[value.name], helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
                    model.graph.initializer.append(numpy_helper.from_array(array, value.name))
                    model.graph.input.remove(value)
            try:
                rows = lanner.compile(model, **cases.FORMS["full"]).explain().rows
            except lanner.Error:
                continue
            if any(row["backend"] == "onednn" for row in rows):
                return True
    return False


def schemas() -> dict[str, defs.OpSchema]:
    """The newest of each operator that is not deprecated."""
    newest = {}
    for schema in defs.get_all_schemas():
        name = f"{schema.domain}.{schema.name}" if schema.domain else schema.name
        newest[name] = schema
    return {name: newest[name] for name in sorted(newest, key=str.lower) if not newest[name].deprecated}


def case_counts() -> tuple[collections.Counter, collections.Counter]:
    """Of each operator the cases of it alone, and those that pass."""
    every, passing = collections.Counter(), collections.Counter()
    for case in cases.node_cases():
        if len(case.model.graph.node) == 1:
            name = name_of(case.model.graph.node[0])
            every[name] += 1
            passing[name] += cases.passes(case.name)
    return every, passing


def row(name: str, schema: defs.OpSchema, own: set[str]) -> tuple[str, str, str] | None:
    """Types, types not taken, and who runs it; None where nothing does."""
    if name in WITH_BODIES:
        return "what its bodies take", "", "as others"
    taken, missing = [], []
    anything = False
    for constraint in schema.type_constraints:
        parameter = constraint.type_param_str
        allowed = [kind for kind in constraint.allowed_type_strs if wrapping(kind)[1] and wrapping(kind)[1] not in UNHELD]
        yes = [kind for kind in allowed if takes(schema, name, parameter, kind)]
        no = [kind for kind in allowed if kind not in yes]
        anything = anything or bool(yes)
        if len(allowed) > 1:
            taken.append(f"{parameter}: {described(yes) or 'none'}")
            if no:
                missing.append(f"{parameter}: {described(no)}")
    if not anything and not any(runs(start) for start in all_templates()[name]):
        return None
    by = "native" if schema.name in own else "as others"
    return "; ".join(taken), "; ".join(missing), by + (", oneDNN" if takes_onednn(name) else "")


def difference_rows() -> list[str]:
    found = collections.defaultdict(list)
    for entry in cases.read_list("onnx_runtime.txt"):
        names = sorted({name_of(case.model.graph.node[0]) for case in cases.node_cases()
                        if len(case.model.graph.node) == 1 and entry.covers("full", case.name)})
        found[", ".join(names), entry.reason].append(f"`{entry.pattern}`")
    return [f"| {names} | {reason} | {', '.join(patterns)} |" for (names, reason), patterns in sorted(found.items())]


def page() -> str:
    every, passing = case_counts()
    own = kernels()
    lines, without = [], []
    for name, schema in schemas().items():
        found = row(name, schema, own)
        if found is None:
            without.append(f"`{name}`")
            continue
        count = f"{passing[name]}" + ("" if passing[name] == every[name] else f" of {every[name]}")
        lines.append("| " + " | ".join((name, *found, count if every[name] else "")) + " |")
    of_lanner = ", ".join(f"`{name}`" for name in sorted(own - {schema.name for schema in schemas().values()}))
    return (HEAD.format(version=onnx.__version__) + "\n".join(lines) + "\n" + MISSING.format(names=", ".join(without))
            + OWN.format(names=of_lanner)
            + DIFFERENCES.format(version=onnxruntime.__version__) + "\n".join(difference_rows()) + "\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    text = page()
    if not options.check:
        PAGE.write_text(text)
    elif PAGE.read_text() != text:
        sys.exit("docs/operators.md is not up to date: run tests/conformance/operators.py")


if __name__ == "__main__":
    main()
