"""The public classes and functions, over the compiled extension `lanner._core`."""

from __future__ import annotations

import collections.abc
import json
import operator
import os
import typing
import warnings
import zipfile

import numpy as np

from lanner import _core

ModelSource = typing.Union[str, os.PathLike, bytes, "onnx.ModelProto"]  # noqa: F821
SampleSource = typing.Union[collections.abc.Mapping, str, os.PathLike]


class ValueInfo(typing.NamedTuple):
    """An input or output: `dtype` is NumPy's name, `shape` has None where a size is decided at run time and is None
    itself where not even the rank is known; `symbols` are the model's names for such sizes ("" where it has none). Of a
    sequence or optional these are those of the arrays in it, and `type` says which it is: "sequence(float32[?,3])"."""

    name: str
    dtype: str
    shape: tuple | None
    symbols: tuple
    optional: bool
    type: str


class ProfileRow(typing.NamedTuple):
    """One operator's share of the time; durations in microseconds over all `count` invocations of all runs."""

    operator: str
    backend: str
    count: int
    sum_us: float
    mean_us: float
    min_us: float
    max_us: float


class CriticalPath(typing.NamedTuple):
    """The chain of dependent instructions of the median run that takes the longest: no number of lanes makes the run
    shorter. `serial_us` is what one lane would need, `wall_us` what the run took."""

    run: int
    length_us: float
    serial_us: float
    wall_us: float
    instruction_count: int


class ProfileMemory(typing.NamedTuple):
    """Highest numbers of bytes: of the session, planned (`arena_bytes`) and reserved for values of unknown size, outputs
    and what subgraphs work on (`pool_bytes`); resident in the process, weights and compiling included."""

    arena_bytes: int
    pool_bytes: int
    process_bytes: int


class Profile:
    """Where the time of a number of runs went."""

    def __init__(self, core):
        self._core = core

    @property
    def runs(self) -> int:
        return self._core.run_count()

    @property
    def run_ms(self) -> list[float]:
        """Wall-clock milliseconds of each run."""
        return self._core.run_ms()

    @property
    def rows(self) -> list[ProfileRow]:
        """Operators by backend, largest sum first."""
        return [ProfileRow(*row) for row in self._core.rows()]

    @property
    def child_rows(self) -> list[ProfileRow]:
        """What ran inside backend subgraphs: part of the subgraphs' rows, not added to them."""
        return [ProfileRow(*row) for row in self._core.child_rows()]

    @property
    def backends(self) -> list[ProfileRow]:
        """One row a backend, without `operator`."""
        return [ProfileRow(*row) for row in self._core.backend_rows()]

    @property
    def occupancies(self) -> list[float]:
        """For each lane its busy time by wall-clock time."""
        return self._core.occupancies()

    @property
    def critical_path(self) -> CriticalPath:
        return CriticalPath(*self._core.critical_path())

    @property
    def memory(self) -> ProfileMemory:
        return ProfileMemory(*self._core.memory())

    def table(self) -> str:
        """`#OpName #InvokeCount #Duration(us): Sum/Mean/Min/Max`, sorted by the sum."""
        return self._core.table()

    def summary(self) -> str:
        """Backends, subgraphs, critical path, lanes and memory as text."""
        return self._core.summary()

    def json(self, path: str | os.PathLike) -> None:
        """Writes all of this and every event."""
        self._core.write_json(os.fspath(path))

    def trace(self, path: str | os.PathLike) -> None:
        """Writes a Chrome trace, which Perfetto and chrome://tracing open."""
        self._core.write_trace(os.fspath(path))

    def html(self, path: str | os.PathLike) -> None:
        """Writes one self-contained page: timeline, critical path, tables, placement and rules."""
        self._core.write_html(os.fspath(path))


class Explanation:
    """Who runs each node and why, with which algorithms, and what the rewrite rules did: `rows`, `algorithms` and
    `rules` are lists of dictionaries. `precision` says what was wanted and, of "auto", the errors that were found."""

    def __init__(self, report: dict):
        self.rows = report.get("nodes", [])
        self.algorithms = report.get("algorithms", [])
        self.rules = report.get("rules", [])
        self.precision = report.get("precision", {})

    def __str__(self) -> str:
        lines = [f"{'operator':<22} {'backend':<8} {'subgraph':>8}  {'node'} -- reason"]
        for row in self.rows:
            subgraph = "" if row["subgraph"] is None else row["subgraph"]
            reason = f" -- {row['reason']}" if row["reason"] else ""
            if "precision" in row:
                reason += f" -- {row['precision']}" + (f": {row['precision_reason']}" if row["precision_reason"] else "")
            lines.append(f"{row['operator']:<22} {row['backend']:<8} {subgraph:>8}  {row['node']}{reason}")
        return "\n".join(lines)


class Model:
    """A compiled model with `sessions` sessions. Thread-safe: each run() takes a free session, further callers wait."""

    def __init__(self, program, sessions: int, threads: int, lanes: int):
        self._program = program
        self._threads = threads
        self._pool = _core.SessionPool(program, sessions, threads, lanes)
        self.inputs = [_value_info(value) for value in program.inputs()]
        self.outputs = [_value_info(value) for value in program.outputs()]

    def run(self, inputs: collections.abc.Mapping[str, object]) -> dict[str, object]:
        """Runs one request: arrays by input name, in any order; inputs with defaults may be left out. Returns the
        outputs by name, in the model's order: arrays, lists of arrays for sequences, None for an empty optional.
        Releases the GIL. Raises Error (`input.*`, or what an operator raises); the model stays usable."""
        return self._pool.run(_core_inputs(inputs))

    def profile(self, inputs: collections.abc.Mapping[str, object], runs: int = 20) -> Profile:
        """Runs once unrecorded, then `runs` times recorded."""
        return Profile(self._pool.profile(_core_inputs(inputs), runs))

    def explain(self) -> Explanation:
        """What compiling decided, and why."""
        return Explanation(json.loads(self._program.explain(self._threads) or "{}"))

    def save(self, path: str | os.PathLike) -> None:
        """Writes a .lanner file, whole or not at all; raises Error `file.unwritable`."""
        self._program.save(os.fspath(path))

    @property
    def properties(self) -> dict[str, str]:
        """The model's metadata."""
        return dict(self._program.properties())


def compile(
    model: ModelSource,
    *,
    threads: int | None = None,
    lanes: int | None = None,
    sessions: int = 1,
    precision: str | None = None,
    tolerance: float | None = None,
    samples: SampleSource | collections.abc.Sequence[SampleSource] | None = None,
    device: str = "cpu",
    disable_rules: collections.abc.Iterable[str] = (),
    deny: collections.abc.Iterable[str] = (),
    min_subgraph: int = 3,
    config: str | os.PathLike | None = None,
    tune: str | None = None,
    memory: str | None = None,
    shapes: collections.abc.Mapping[str, collections.abc.Sequence[int | None]] | None = None,
    dims: collections.abc.Mapping[str, int] | None = None,
) -> Model:
    """Compiles an ONNX model.

    model: path of an .onnx file (or of a .lanner file, which is loaded), its bytes, or an onnx.ModelProto.
    threads: per session; 0, the default, means as many as the process may use.
    lanes: how many instructions of one request may run at once; by default as many as threads. 1: one after another.
    sessions: how many requests run at once.
    precision: what convolutions and matrix products compute with: "f32", the default; "bf16", where that is faster;
        "auto", bf16 as far as values stay within the tolerance.
    tolerance: of "auto": the relative root mean square error that a value may have; by default 0.02.
    samples: inputs for "auto" to judge on: arrays by name, the path of an .npz file, or a list of such. Without them,
        inputs are generated, with a warning. Where the model leaves sizes open, `tune` measures those of the first.
    device: "cpu".
    disable_rules: names of rewrite rules to leave out; "all" for every one.
    deny: "OP", "OP@BACKEND" or "@BACKEND": what to keep from a backend.
    min_subgraph: how many operators a backend's subgraph must have at least, where none of them is a convolution or
        product of 100,000 operations or more.
    config: a TOML file with threads, lanes, precision, tolerance, samples, tune, memory, disable-rule and deny, for those
        not given here.
    tune: how algorithms of convolutions and matrix products are chosen: "off", the default, by what they are expected to
        cost; "fast", by measuring those that are close (seconds); "full", by measuring all of them. A .lanner file is
        tuned again unless it is "off".
    memory: what packed weights may take: "fast", the default, as much as the fastest algorithms want; "small", no more
        than plain weights.
    shapes: input shapes other than those the model was exported with, by input name; None for a size that is decided
        at run time.
    dims: sizes of symbolic dimensions of the inputs, by name.

    Raises Error: `file.*`, `model.*`, `op.unsupported` (lists every operator without a kernel), `option.*`,
    `config.invalid`.
    """
    disable_rules, deny = list(disable_rules), list(deny)
    if config is not None:
        settings = _core.read_config(os.fspath(config))
        given = (threads, lanes, precision, tolerance, samples, tune, memory)
        threads, lanes, precision, tolerance, samples, tune, memory = (
            value if value is not None else read for value, read in zip(given, settings[:7], strict=True)
        )
        disable_rules, deny = disable_rules or settings[7], deny or settings[8]
    _check_options(lanes, device)
    tolerance = _core.DEFAULT_TOLERANCE if tolerance is None else float(tolerance)
    samples = _samples(samples) if precision == "auto" or (tune or "off") != "off" else []
    options = (
        precision or "f32", tolerance, samples, tune or "off", memory or "fast", threads or 0, disable_rules, deny,
        min_subgraph, _shapes(shapes), _dims(dims))
    if isinstance(model, (str, os.PathLike)):
        program, said = _core.compile(os.fspath(model), options)
    elif isinstance(model, (bytes, bytearray, memoryview)):
        program, said = _core.compile_bytes(bytes(model), options)
    elif hasattr(model, "SerializeToString"):
        program, said = _core.compile_bytes(model.SerializeToString(), options)
    else:
        raise TypeError(f"model must be a path, bytes or an onnx.ModelProto, not {type(model).__name__}")
    for warning in said:
        warnings.warn(warning, stacklevel=2)
    return Model(program, sessions, threads or 0, lanes or 0)


def load(path: str | os.PathLike, *, threads: int = 0, lanes: int | None = None, sessions: int = 1) -> Model:
    """Loads a .lanner file. Raises Error: `file.*`, `program.*`."""
    _check_options(lanes, "cpu")
    return Model(_core.load(os.fspath(path)), sessions, threads, lanes or 0)


def _check_options(lanes, device):
    if lanes is not None and lanes < 1:
        raise _core.make_error("option.lanes", f"the number of lanes must be at least 1, but is {lanes}")
    if device != "cpu":
        raise _core.make_error("option.device", f"device must be 'cpu', but is '{device}'")


def _shapes(given):
    return [(str(name), [-1 if size is None else operator.index(size) for size in shape])
            for name, shape in (given or {}).items()]


def _dims(given):
    return [(str(name), operator.index(size)) for name, size in (given or {}).items()]


def _samples(given):
    if given is None:
        return []
    if isinstance(given, (collections.abc.Mapping, str, os.PathLike)):
        given = [given]
    return [_core_inputs(_read_npz(sample) if isinstance(sample, (str, os.PathLike)) else sample) for sample in given]


def _read_npz(path):
    try:
        file = np.load(path)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        with file:
            return dict(file)
    except FileNotFoundError:
        raise _core.make_error("file.not_found", f"there is no file '{os.fspath(path)}'") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _core.make_error("npz.invalid", f"'{os.fspath(path)}' is no .npz file: {error}") from None


def _value_info(value) -> ValueInfo:
    name, dtype, has_rank, shape, symbols, optional, type_ = value
    dims = tuple(None if size < 0 else size for size in shape) if has_rank else None
    return ValueInfo(name, dtype, dims, tuple(symbols), optional, type_)


def _core_inputs(inputs):
    """The inputs as (name, C-contiguous array, list of arrays or None) triples, strings as object arrays."""
    if not isinstance(inputs, collections.abc.Mapping):
        raise TypeError(f"inputs must be a mapping of names to arrays, not {type(inputs).__name__}")
    return [(name, _core_value(value)) for name, value in inputs.items()]


def _core_value(value):
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(item, np.ndarray) for item in value):
        return [_core_array(item) for item in value]
    return _core_array(value)


def _core_array(value):
    array = np.asarray(value)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # ascontiguousarray would turn a scalar into a vector.
    return array if array.flags.c_contiguous else array.copy(order="C")
