// The extension module lanner._core: programs, session pools and profiles for Python. What Python users see is in
// lanner/_model.py; this file converts values and releases the GIL around long calls.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "base/fail.h"
#include "compile/config.h"
#include "lanner/lanner.h"

namespace nb = nanobind;

namespace lanner {
namespace {

using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

// The unsigned integers that elements which DLPack does not know travel as; the package ml_dtypes has their arrays.
ElementType carrier_of(ElementType type) {
  switch (type) {
    case ElementType::kBfloat16:
      return ElementType::kUint16;
    case ElementType::kFloat8E4M3FN:
    case ElementType::kFloat8E4M3FNUZ:
    case ElementType::kFloat8E5M2:
    case ElementType::kFloat8E5M2FNUZ:
    case ElementType::kFloat8E8M0:
    case ElementType::kFloat4E2M1:
    case ElementType::kInt4:
    case ElementType::kUint4:
    case ElementType::kInt2:
    case ElementType::kUint2:
      return ElementType::kUint8;
    default:
      return type;
  }
}

ElementType element_type_of(nb::dlpack::dtype dtype) {
  using Code = nb::dlpack::dtype_code;
  const auto code = static_cast<Code>(dtype.code);
  if (dtype.lanes != 1) return ElementType::kUndefined;
  if (code == Code::Bool) return ElementType::kBool;
  if (code == Code::Float) {
    return dtype.bits == 32   ? ElementType::kFloat32
           : dtype.bits == 64 ? ElementType::kFloat64
           : dtype.bits == 16 ? ElementType::kFloat16
                              : ElementType::kUndefined;
  }
  if (code == Code::Complex) return dtype.bits == 64 ? ElementType::kComplex64 : ElementType::kComplex128;
  if (code != Code::Int && code != Code::UInt) return ElementType::kUndefined;
  const bool is_signed = code == Code::Int;
  switch (dtype.bits) {
    case 8:
      return is_signed ? ElementType::kInt8 : ElementType::kUint8;
    case 16:
      return is_signed ? ElementType::kInt16 : ElementType::kUint16;
    case 32:
      return is_signed ? ElementType::kInt32 : ElementType::kUint32;
    case 64:
      return is_signed ? ElementType::kInt64 : ElementType::kUint64;
    default:
      return ElementType::kUndefined;
  }
}

nb::dlpack::dtype dtype_of(ElementType type) {
  using Code = nb::dlpack::dtype_code;
  const auto make = [&](Code code) {
    return nb::dlpack::dtype{static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(element_bits(type)), 1};
  };
  switch (type) {
    case ElementType::kBool:
      return make(Code::Bool);
    case ElementType::kFloat16:
    case ElementType::kFloat32:
    case ElementType::kFloat64:
      return make(Code::Float);
    case ElementType::kComplex64:
    case ElementType::kComplex128:
      return make(Code::Complex);
    case ElementType::kInt8:
    case ElementType::kInt16:
    case ElementType::kInt32:
    case ElementType::kInt64:
      return make(Code::Int);
    case ElementType::kUint8:
    case ElementType::kUint16:
    case ElementType::kUint32:
    case ElementType::kUint64:
      return make(Code::UInt);
    default:
      base::fail(ErrorCode::kUnimplemented, "op.type", "Python has no arrays of element type {}",
                 element_type_name(type));
  }
}

Shape shape_of(nb::handle array) {
  Shape shape;
  for (nb::handle dim : array.attr("shape")) shape.push_back(nb::cast<std::int64_t>(dim));
  return shape;
}

// An array of the input `name` as a tensor. Numbers are read in place and the array is kept alive; strings are copied.
Tensor tensor_from(const std::string& name, nb::handle array) {
  const auto kind = nb::cast<std::string>(array.attr("dtype").attr("kind"));
  const auto dtype_name = nb::cast<std::string>(array.attr("dtype").attr("name"));
  if (kind == "O") {
    Tensor tensor = Tensor::allocate(ElementType::kString, shape_of(array));
    std::string* out = tensor.data<std::string>();
    for (nb::handle item : array.attr("ravel")()) {
      if (!nb::isinstance<nb::str>(item) && !nb::isinstance<nb::bytes>(item)) {
        base::invalid("input.type", "input '{}' must hold numbers or strings, but holds Python objects", name);
      }
      *out++ = nb::isinstance<nb::str>(item) ? nb::cast<std::string>(item)
                                             : std::string(nb::cast<nb::bytes>(item).c_str(), nb::len(item));
    }
    return tensor;
  }
  AnyArray view;
  ElementType type = ElementType::kUndefined;
  // Booleans, integers, floats and complex numbers, and those of ml_dtypes as integers; nanobind cannot look at others.
  const ElementType named = element_type_from_name(dtype_name);
  const bool carried = named != carrier_of(named);
  const bool is_number = carried || std::string_view("biufc").find(kind) != std::string_view::npos;
  const nb::object readable =
      carried ? array.attr("view")(std::string(element_type_name(carrier_of(named))).c_str()) : nb::borrow(array);
  if (is_number && nb::try_cast(readable, view)) type = carried ? named : element_type_of(view.dtype());
  if (type == ElementType::kUndefined) {
    base::invalid("input.type", "input '{}' has dtype {}, which no ONNX element type matches", name, dtype_name);
  }
  Shape shape;
  for (std::size_t i = 0; i < view.ndim(); ++i) shape.push_back(static_cast<std::int64_t>(view.shape(i)));
  return Tensor::wrap(type, shape, const_cast<void*>(view.data()));
}

NamedValues values_from(const std::vector<std::pair<std::string, nb::object>>& inputs) {
  NamedValues values;
  for (const auto& [name, object] : inputs) {
    Value value;
    if (nb::isinstance<nb::list>(object)) {
      Sequence sequence;
      for (nb::handle item : object) sequence.push_back(tensor_from(name, item));
      value = std::move(sequence);
    } else if (!object.is_none()) {
      value = tensor_from(name, object);
    }
    values.emplace_back(name, std::move(value));
  }
  return values;
}

nb::object ml_dtype(ElementType type) {
  try {
    return nb::module_::import_("ml_dtypes").attr(std::string(element_type_name(type)).c_str());
  } catch (const nb::python_error&) {
    base::fail(ErrorCode::kUnimplemented, "op.type", "arrays of {} need the Python package ml_dtypes",
               element_type_name(type));
  }
}

nb::object array_from(Tensor tensor) {
  if (tensor.element_type() == ElementType::kString) {
    nb::list items;
    for (const std::string& text : tensor.values<std::string>()) items.append(nb::str(text.data(), text.size()));
    const auto numpy = nb::module_::import_("numpy");
    nb::list shape;
    for (const std::int64_t dim : tensor.shape()) shape.append(dim);
    return numpy.attr("array")(items, nb::arg("dtype") = nb::str("O")).attr("reshape")(shape);
  }
  const ElementType type = tensor.element_type();
  const nb::dlpack::dtype dtype = dtype_of(carrier_of(type));
  std::vector<std::size_t> shape(tensor.shape().begin(), tensor.shape().end());
  auto* held = new Tensor(std::move(tensor));
  nb::capsule owner(held, [](void* pointer) noexcept { delete static_cast<Tensor*>(pointer); });
  nb::object array =
      nb::cast(nb::ndarray<nb::numpy>(held->raw_data(), shape.size(), shape.data(), owner, nullptr, dtype));
  if (carrier_of(type) == type) return array;
  return array.attr("view")(ml_dtype(type));
}

nb::object object_from(Value value) {
  if (value.is_none()) return nb::none();
  if (value.is_tensor()) return array_from(std::move(value.tensor()));
  nb::list items;
  for (Tensor& tensor : value.sequence()) items.append(array_from(std::move(tensor)));
  return items;
}

using NamedObjects = std::vector<std::pair<std::string, nb::object>>;

nb::dict run(SessionPool& pool, const NamedObjects& inputs) {
  const NamedValues values = values_from(inputs);
  NamedValues outputs;
  {
    nb::gil_scoped_release release;
    outputs = pool.run(values);
  }
  nb::dict result;
  for (auto& [name, value] : outputs) result[name.c_str()] = object_from(std::move(value));
  return result;
}

using InfoTuple =
    std::tuple<std::string, std::string, bool, std::vector<std::int64_t>, std::vector<std::string>, bool, std::string>;

std::vector<InfoTuple> info_tuples(const std::vector<ValueInfo>& infos) {
  std::vector<InfoTuple> result;
  for (const ValueInfo& info : infos) {
    result.emplace_back(info.name, std::string(element_type_name(info.element_type)), info.has_rank, info.shape,
                        info.symbols, info.optional, info.type);
  }
  return result;
}

using RowTuple = std::tuple<std::string, std::string, std::int64_t, double, double, double, double>;

std::vector<RowTuple> row_tuples(const std::vector<ProfileRow>& rows) {
  std::vector<RowTuple> result;
  for (const ProfileRow& row : rows) {
    result.emplace_back(row.op, row.backend, row.count, row.sum_us, row.mean_us, row.min_us, row.max_us);
  }
  return result;
}

// Precision, tolerance, samples, tuning, memory, threads, disabled rules, denied operators, smallest subgraph, shapes,
// dimensions.
using OptionTuple =
    std::tuple<std::string, double, std::vector<NamedObjects>, std::string, std::string, int, std::vector<std::string>,
               std::vector<std::string>, int, std::vector<std::pair<std::string, std::vector<std::int64_t>>>,
               std::vector<std::pair<std::string, std::int64_t>>>;

// Compiles with `compile_with(options)`, without the GIL. Returns the program and what the compiler warns of.
template <typename Compile>
std::pair<Program, std::vector<std::string>> compile_warning(OptionTuple given, const Compile& compile_with) {
  CompileOptions options;
  options.precision = std::get<0>(given);
  options.tolerance = std::get<1>(given);
  for (const NamedObjects& sample : std::get<2>(given)) options.samples.push_back(values_from(sample));
  options.tune = std::get<3>(given);
  options.memory = std::get<4>(given);
  options.threads = std::get<5>(given);
  options.disable_rules = std::move(std::get<6>(given));
  options.deny = std::move(std::get<7>(given));
  options.min_subgraph = std::get<8>(given);
  for (auto& [input, dims] : std::get<9>(given)) options.shapes.push_back({std::move(input), std::move(dims)});
  for (auto& [name, size] : std::get<10>(given)) options.dimensions.push_back({std::move(name), size});
  std::vector<std::string> warnings;
  options.warn = [&](std::string_view warning) { warnings.emplace_back(warning); };
  const nb::gil_scoped_release release;
  Program program = compile_with(options);
  return {std::move(program), std::move(warnings)};
}

// Makes a Python Error with the attributes `code`, `reason`, `message` and `context`.
nb::object make_error(nb::handle type, const Error& error) {
  nb::object instance = type(error.what());
  instance.attr("code") = static_cast<int>(error.code());
  instance.attr("reason") = error.reason();
  instance.attr("message") = error.message();
  instance.attr("context") = error.context();
  return instance;
}

}  // namespace
}  // namespace lanner

NB_MODULE(_core, m) {
  using namespace lanner;
  m.attr("__version__") = nb::str(version().data(), version().size());

  m.attr("DEFAULT_TOLERANCE") = kDefaultTolerance;

  static nb::handle error_type;
  nb::object type = nb::steal(PyErr_NewExceptionWithDoc("lanner.Error",
                                                        "What Lanner raises: `code` (a gRPC status code), `reason` (a "
                                                        "stable word such as 'op.rank'), `message`, `context`.",
                                                        PyExc_RuntimeError, nullptr));
  m.attr("Error") = type;
  error_type = type.release();
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const Error& error) {
      PyErr_SetObject(error_type.ptr(), make_error(error_type, error).ptr());
    }
  });
  m.def("make_error", [](const std::string& reason, const std::string& message) {
    return make_error(error_type, Error(ErrorCode::kInvalidArgument, reason, message));
  });

  nb::class_<Program>(m, "Program")
      .def("inputs", [](const Program& program) { return info_tuples(program.inputs()); })
      .def("outputs", [](const Program& program) { return info_tuples(program.outputs()); })
      .def("properties", &Program::properties)
      .def(
          "explain", [](const Program& program, int threads) { return explain(program, threads); },
          nb::call_guard<nb::gil_scoped_release>())
      .def("text", &Program::to_text)
      .def("instruction_count", &Program::instruction_count)
      .def(
          "save", [](const Program& program, const std::string& path) { program.save(path); },
          nb::call_guard<nb::gil_scoped_release>());

  nb::class_<Profile>(m, "Profile")
      .def("run_count", &Profile::run_count)
      .def("run_ms", &Profile::run_ms)
      .def("rows", [](const Profile& profile) { return row_tuples(profile.rows()); })
      .def("child_rows", [](const Profile& profile) { return row_tuples(profile.child_rows()); })
      .def("table", &Profile::table)
      .def("write_json", [](const Profile& profile, const std::string& path) { profile.write_json(path); })
      .def("write_trace", [](const Profile& profile, const std::string& path) { profile.write_trace(path); })
      .def("write_html", [](const Profile& profile, const std::string& path) { profile.write_html(path); })
      .def("summary", &Profile::summary)
      .def("backend_rows", [](const Profile& profile) { return row_tuples(profile.backend_rows()); })
      .def("occupancies",
           [](const Profile& profile) {
             std::vector<double> result;
             for (const ProfileLane& lane : profile.lanes()) result.push_back(lane.occupancy);
             return result;
           })
      .def("critical_path",
           [](const Profile& profile) {
             const CriticalPath& path = profile.critical_path();
             return std::tuple(path.run, path.length_us, path.serial_us, path.wall_us, path.instruction_count);
           })
      .def("memory", [](const Profile& profile) {
        const ProfileMemory& memory = profile.memory();
        return std::tuple(memory.arena_bytes, memory.pool_bytes, memory.process_bytes);
      });

  nb::class_<SessionPool>(m, "SessionPool")
      .def(
          "__init__",
          [](SessionPool* self, const Program& program, int sessions, int threads, int lanes) {
            nb::gil_scoped_release release;
            new (self) SessionPool(program, sessions, {.threads = threads, .lanes = lanes});
          },
          nb::arg("program"), nb::arg("sessions"), nb::arg("threads"), nb::arg("lanes"))
      .def("run", &run)
      .def("profile", [](SessionPool& pool, const NamedObjects& inputs, int runs) {
        const NamedValues values = values_from(inputs);
        nb::gil_scoped_release release;
        return pool.profile(values, runs);
      });

  m.def("read_config", [](const std::string& path) {
    const compiler::Settings settings = compiler::read_config(path);
    return std::tuple(settings.threads, settings.lanes, settings.precision, settings.tolerance, settings.samples,
                      settings.tune, settings.memory, settings.disable_rules, settings.deny);
  });
  m.def(
      "load", [](const std::string& path) { return Program::load(path); }, nb::call_guard<nb::gil_scoped_release>());
  m.def("compile", [](const std::string& path, OptionTuple given) {
    return compile_warning(
        std::move(given), [&](const CompileOptions& options) { return compile(std::filesystem::path(path), options); });
  });
  m.def("compile_bytes", [](const nb::bytes& model, OptionTuple given) {
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(model.c_str()), model.size());
    return compile_warning(std::move(given),
                           [&](const CompileOptions& options) { return compile_bytes(bytes, options); });
  });
}
