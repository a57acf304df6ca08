#include "onnx/proto.h"

#include <onnx/defs/schema.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "base/fail.h"

namespace lanner::onnx {

using tensor::Attribute;
using tensor::Dim;
using tensor::ValueType;

int newest_opset() {
  static const int newest = pb::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  return newest;
}

int newest_ir_version() {
  return static_cast<int>(pb::Version::IR_VERSION);
}

// ---- tensors ------------------------------------------------------------------------------------------------------

ElementType element_type(const pb::TensorProto& proto) {
  const int number = proto.data_type();
  const auto type = static_cast<ElementType>(number);
  if (number < 0 || number > std::numeric_limits<std::uint8_t>::max() || element_bits(type) == 0) {
    base::fail(ErrorCode::kUnimplemented, "model.unsupported",
               "tensor '{}' has element type {}, which is not supported", proto.name(), number);
  }
  return type;
}

std::size_t stored_bytes(const Tensor& tensor) {
  const auto bits = static_cast<std::size_t>(element_bits(tensor.element_type()));
  return bits < 8 ? (tensor.byte_count() * bits + 7) / 8 : tensor.byte_count();
}

Tensor unpacked(const Tensor& wanted, const char* bytes) {
  Tensor tensor = Tensor::allocate(wanted.element_type(), wanted.shape());
  const int bits = element_bits(wanted.element_type());
  const int per_byte = 8 / bits;
  auto* out = static_cast<std::uint8_t*>(tensor.raw_data());
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i / per_byte]);
    out[i] = static_cast<std::uint8_t>(byte >> (i % per_byte * bits) & ((1 << bits) - 1));
  }
  return tensor;
}

Shape shape_of(const pb::TensorProto& proto) {
  return base::with_context(
      [&] { return fmt::format("in tensor '{}'", proto.name()); },
      [&] {
        return Shape(std::span<const std::int64_t>(proto.dims().data(), static_cast<std::size_t>(proto.dims_size())));
      });
}

namespace {

[[noreturn]] void wrong_count(const pb::TensorProto& proto, const Tensor& tensor, std::int64_t needed,
                              std::int64_t found, std::string_view unit) {
  base::invalid("model.invalid", "tensor '{}' of type {}{} needs {} {}, but has {}", proto.name(),
                element_type_name(tensor.element_type()), tensor.shape().to_string(), needed, unit, found);
}

// A tensor's type and shape before its data exists; nothing is allocated for the dimensions a file claims.
Tensor described(const pb::TensorProto& proto) {
  return Tensor::wrap(element_type(proto), shape_of(proto), nullptr, nullptr);
}

bool is_packed(ElementType type) {
  return element_bits(type) < 8;
}

bool any_odd_bool(const std::string& bytes) {
  return std::ranges::any_of(bytes, [](char byte) { return byte != 0 && byte != 1; });
}

// The inverse of unpacked().
std::string packed(const Tensor& tensor) {
  const int bits = element_bits(tensor.element_type());
  const int per_byte = 8 / bits;
  std::string bytes(stored_bytes(tensor), '\0');
  const auto* in = static_cast<const std::uint8_t*>(tensor.raw_data());
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    char& byte = bytes[static_cast<std::size_t>(i / per_byte)];
    byte = static_cast<char>(byte | (in[i] & ((1 << bits) - 1)) << (i % per_byte * bits));
  }
  return bytes;
}

// Elements given one by one in a typed field of the message.
template <typename Stored, typename Field>
Tensor from_field(const pb::TensorProto& proto, const Tensor& wanted, const Field& field, std::int64_t entries) {
  if (field.size() != entries) wrong_count(proto, wanted, entries, field.size(), "values");
  Tensor tensor = Tensor::allocate(wanted.element_type(), wanted.shape());
  auto* out = static_cast<Stored*>(tensor.raw_data());
  for (const auto& value : field) *out++ = static_cast<Stored>(value);
  return tensor;
}

Tensor from_fields(const pb::TensorProto& proto, const Tensor& wanted) {
  const std::int64_t count = wanted.element_count();
  const int bits = element_bits(wanted.element_type());
  switch (wanted.element_type()) {
    case ElementType::kFloat32:
      return from_field<float>(proto, wanted, proto.float_data(), count);
    case ElementType::kComplex64:
      return from_field<float>(proto, wanted, proto.float_data(), 2 * count);
    case ElementType::kFloat64:
      return from_field<double>(proto, wanted, proto.double_data(), count);
    case ElementType::kComplex128:
      return from_field<double>(proto, wanted, proto.double_data(), 2 * count);
    case ElementType::kInt64:
      return from_field<std::int64_t>(proto, wanted, proto.int64_data(), count);
    case ElementType::kUint64:
      return from_field<std::uint64_t>(proto, wanted, proto.uint64_data(), count);
    case ElementType::kUint32:
      return from_field<std::uint32_t>(proto, wanted, proto.uint64_data(), count);
    case ElementType::kInt32:
      return from_field<std::int32_t>(proto, wanted, proto.int32_data(), count);
    case ElementType::kBool:
      return from_field<bool>(proto, wanted, proto.int32_data(), count);
    case ElementType::kString: {
      if (proto.string_data_size() != count) wrong_count(proto, wanted, count, proto.string_data_size(), "strings");
      Tensor tensor = Tensor::allocate(ElementType::kString, wanted.shape());
      std::ranges::copy(proto.string_data(), tensor.data<std::string>());
      return tensor;
    }
    default:
      break;
  }
  // Everything else is in int32_data bit by bit: 16- and 8-bit types one to an entry, smaller ones a byte to an entry.
  if (bits == 16) return from_field<std::uint16_t>(proto, wanted, proto.int32_data(), count);
  if (bits == 8) return from_field<std::uint8_t>(proto, wanted, proto.int32_data(), count);
  const auto needed = static_cast<std::int64_t>(stored_bytes(wanted));
  if (proto.int32_data_size() != needed) wrong_count(proto, wanted, needed, proto.int32_data_size(), "values");
  const std::string bytes(proto.int32_data().begin(), proto.int32_data().end());
  return unpacked(wanted, bytes.data());
}

void check_raw_size(const pb::TensorProto& proto, const Tensor& wanted) {
  if (wanted.element_type() == ElementType::kString) {
    base::invalid("model.invalid", "tensor '{}' of strings must not use raw_data", proto.name());
  }
  if (proto.raw_data().size() != stored_bytes(wanted)) {
    wrong_count(proto, wanted, static_cast<std::int64_t>(stored_bytes(wanted)),
                static_cast<std::int64_t>(proto.raw_data().size()), "bytes");
  }
}

Tensor from_raw(const pb::TensorProto& proto, const Tensor& wanted) {
  check_raw_size(proto, wanted);
  if (is_packed(wanted.element_type())) return unpacked(wanted, proto.raw_data().data());
  Tensor tensor = Tensor::allocate(wanted.element_type(), wanted.shape());
  const std::string& raw = proto.raw_data();
  if (wanted.element_type() == ElementType::kBool) {
    std::ranges::transform(raw, tensor.data<bool>(), [](char byte) { return byte != 0; });
  } else if (!raw.empty()) {
    std::memcpy(tensor.raw_data(), raw.data(), raw.size());
  }
  return tensor;
}

}  // namespace

Tensor to_tensor(const pb::TensorProto& proto) {
  if (proto.data_location() == pb::TensorProto::EXTERNAL) {
    base::invalid("model.invalid", "tensor '{}' has external data where none is possible", proto.name());
  }
  if (proto.has_segment()) {
    base::fail(ErrorCode::kUnimplemented, "model.unsupported", "tensor '{}' is stored in segments", proto.name());
  }
  const Tensor wanted = described(proto);
  return proto.has_raw_data() && !(proto.raw_data().empty() && wanted.element_count() != 0)
             ? from_raw(proto, wanted)
             : from_fields(proto, wanted);
}

Tensor take_tensor(pb::TensorProto& proto) {
  // A string that is longer than its inline buffer is aligned like any other allocation, which suits every element.
  if (!proto.has_raw_data() || proto.raw_data().size() <= kInlineTensorBytes) return to_tensor(proto);
  const Tensor wanted = described(proto);
  check_raw_size(proto, wanted);
  if (wanted.element_type() == ElementType::kBool && any_odd_bool(proto.raw_data())) return to_tensor(proto);
  if (is_packed(wanted.element_type())) return to_tensor(proto);
  const std::shared_ptr<std::string> bytes(proto.release_raw_data());
  return Tensor::wrap(wanted.element_type(), wanted.shape(), bytes->data(), bytes);
}

Tensor to_dense(const pb::SparseTensorProto& proto) {
  const std::string& name = proto.values().name();
  const Tensor values = to_tensor(proto.values());
  const Tensor indices = to_tensor(proto.indices());
  pb::TensorProto dense;
  dense.set_name(name);
  dense.set_data_type(proto.values().data_type());
  *dense.mutable_dims() = proto.dims();
  const Shape shape = shape_of(dense);
  if (values.element_type() == ElementType::kString) {
    base::fail(ErrorCode::kUnimplemented, "model.unsupported", "sparse tensor '{}' of {} is not supported", name,
               element_type_name(values.element_type()));
  }
  const std::int64_t stored = values.element_count();
  const bool linear = indices.rank() == 1;
  if (indices.element_type() != ElementType::kInt64 || values.rank() != 1 || indices.rank() < 1 || indices.rank() > 2 ||
      indices.shape()[0] != stored || (!linear && indices.shape()[1] != shape.rank())) {
    base::invalid("model.invalid", "sparse tensor '{}' has {} values but indices of type {}", name, stored,
                  indices.type_string());
  }
  // A few bytes of file may claim any dense size; a weight above 2 GiB is not credible in a sparse tensor.
  Tensor result = Tensor::wrap(values.element_type(), shape, nullptr, nullptr);
  if (result.byte_count() > std::size_t{1} << 31) {
    base::fail(ErrorCode::kResourceExhausted, "model.invalid", "sparse tensor '{}' is {} bytes when dense", name,
               result.byte_count());
  }
  result = Tensor::allocate(values.element_type(), shape);
  const auto bytes = static_cast<std::size_t>(element_bytes(values.element_type()));
  auto* out = static_cast<std::byte*>(result.raw_data());
  const auto* from = static_cast<const std::byte*>(values.raw_data());
  if (result.byte_count() != 0) std::memset(out, 0, result.byte_count());
  const std::int64_t* index = indices.data<std::int64_t>();
  for (std::int64_t i = 0; i < stored; ++i) {
    std::int64_t at = 0;
    bool inside = true;
    if (linear) {
      at = *index++;
      inside = at >= 0 && at < result.element_count();
    } else {
      for (const std::int64_t dim : shape) {
        inside = inside && *index >= 0 && *index < dim;
        at = inside ? at * dim + *index : 0;
        ++index;
      }
    }
    if (!inside) base::invalid("model.invalid", "sparse tensor '{}' has an index outside {}", name, shape.to_string());
    std::memcpy(out + static_cast<std::size_t>(at) * bytes, from + static_cast<std::size_t>(i) * bytes, bytes);
  }
  return result;
}

void set_tensor(pb::TensorProto& proto, const Tensor& tensor, bool with_data) {
  proto.set_data_type(static_cast<int>(tensor.element_type()));
  for (const std::int64_t dim : tensor.shape()) proto.add_dims(dim);
  if (!with_data) return;
  if (tensor.element_type() == ElementType::kString) {
    for (const std::string& text : tensor.values<std::string>()) proto.add_string_data(text);
  } else if (is_packed(tensor.element_type())) {
    proto.set_raw_data(packed(tensor));
  } else {
    proto.set_raw_data(tensor.raw_data(), tensor.byte_count());
  }
}

// ---- types --------------------------------------------------------------------------------------------------------

namespace {

ValueType tensor_type(const pb::TypeProto_Tensor& proto) {
  const int number = proto.elem_type();
  const bool known = number > 0 && number <= 255 && element_bits(static_cast<ElementType>(number)) != 0;
  ValueType type = ValueType::unranked(known ? static_cast<ElementType>(number) : ElementType::kUndefined);
  if (!proto.has_shape()) return type;
  type.ranked = true;
  for (const pb::TensorShapeProto_Dimension& dim : proto.shape().dim()) {
    // Some exporters write -1 for "not known".
    if (dim.has_dim_value() && dim.dim_value() >= 0)
      type.dims.push_back({dim.dim_value(), {}});
    else
      type.dims.push_back({-1, dim.has_dim_param() ? dim.dim_param() : std::string()});
  }
  return type;
}

}  // namespace

ValueType to_value_type(const pb::TypeProto& proto) {
  const auto wrapped = [](const pb::TypeProto& inner, ValueType::Kind kind) {
    if (!inner.has_tensor_type()) return ValueType{};
    ValueType type = tensor_type(inner.tensor_type());
    type.kind = kind;
    return type;
  };
  switch (proto.value_case()) {
    case pb::TypeProto::kTensorType:
      return tensor_type(proto.tensor_type());
    case pb::TypeProto::kSequenceType:
      return wrapped(proto.sequence_type().elem_type(), ValueType::Kind::kSequence);
    case pb::TypeProto::kOptionalType:
      if (proto.optional_type().elem_type().has_sequence_type()) {
        return wrapped(proto.optional_type().elem_type().sequence_type().elem_type(),
                       ValueType::Kind::kOptionalSequence);
      }
      return wrapped(proto.optional_type().elem_type(), ValueType::Kind::kOptional);
    default:
      return {};
  }
}

bool set_type(pb::TypeProto& proto, const ValueType& type) {
  pb::TypeProto_Tensor* tensor = nullptr;
  switch (type.kind) {
    case ValueType::Kind::kUnknown:
      return false;
    case ValueType::Kind::kTensor:
      tensor = proto.mutable_tensor_type();
      break;
    case ValueType::Kind::kSequence:
      tensor = proto.mutable_sequence_type()->mutable_elem_type()->mutable_tensor_type();
      break;
    case ValueType::Kind::kOptional:
      tensor = proto.mutable_optional_type()->mutable_elem_type()->mutable_tensor_type();
      break;
    case ValueType::Kind::kOptionalSequence:
      tensor = proto.mutable_optional_type()
                   ->mutable_elem_type()
                   ->mutable_sequence_type()
                   ->mutable_elem_type()
                   ->mutable_tensor_type();
      break;
  }
  tensor->set_elem_type(static_cast<int>(type.element));
  if (type.ranked) {
    pb::TensorShapeProto* shape = tensor->mutable_shape();
    for (const Dim& dim : type.dims) {
      pb::TensorShapeProto_Dimension* out = shape->add_dim();
      if (dim.known())
        out->set_dim_value(dim.size);
      else if (!dim.symbol.empty())
        out->set_dim_param(dim.symbol);
    }
  }
  return true;
}

// ---- attributes ---------------------------------------------------------------------------------------------------

Attribute to_attribute(const pb::AttributeProto& proto) {
  switch (proto.type()) {
    case pb::AttributeProto::INT:
      return proto.i();
    case pb::AttributeProto::FLOAT:
      return proto.f();
    case pb::AttributeProto::STRING:
      return proto.s();
    case pb::AttributeProto::TENSOR:
      return to_tensor(proto.t());
    case pb::AttributeProto::INTS:
      return std::vector<std::int64_t>(proto.ints().begin(), proto.ints().end());
    case pb::AttributeProto::FLOATS:
      return std::vector<float>(proto.floats().begin(), proto.floats().end());
    case pb::AttributeProto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    case pb::AttributeProto::TYPE_PROTO:
      return to_value_type(proto.tp()).to_string();  // Optional's `type`
    default:
      base::fail(ErrorCode::kUnimplemented, "model.unsupported", "attribute '{}' is of kind {}, which is not supported",
                 proto.name(), pb::AttributeProto::AttributeType_Name(proto.type()));
  }
}

void set_attribute(pb::AttributeProto& proto, std::string_view name, const Attribute& attribute) {
  proto.set_name(std::string(name));
  std::visit(
      [&]<typename T>(const T& value) {
        if constexpr (std::is_same_v<T, std::int64_t>) {
          proto.set_type(pb::AttributeProto::INT);
          proto.set_i(value);
        } else if constexpr (std::is_same_v<T, float>) {
          proto.set_type(pb::AttributeProto::FLOAT);
          proto.set_f(value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          proto.set_type(pb::AttributeProto::STRING);
          proto.set_s(value);
        } else if constexpr (std::is_same_v<T, Tensor>) {
          proto.set_type(pb::AttributeProto::TENSOR);
          set_tensor(*proto.mutable_t(), value, true);
        } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
          proto.set_type(pb::AttributeProto::INTS);
          proto.mutable_ints()->Assign(value.begin(), value.end());
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          proto.set_type(pb::AttributeProto::FLOATS);
          proto.mutable_floats()->Assign(value.begin(), value.end());
        } else {
          proto.set_type(pb::AttributeProto::STRINGS);
          proto.mutable_strings()->Assign(value.begin(), value.end());
        }
      },
      attribute);
}

// ---- messages -----------------------------------------------------------------------------------------------------

std::string readable(const std::exception& error) {
  std::string text = error.what();
  // "/path/file.cc:12: function: Assertion `condition` failed: message", or without a message "... failed."
  if (const std::size_t assertion = text.find(": Assertion `"); assertion != std::string::npos) {
    const std::size_t failed = text.find("` failed", assertion);
    if (failed != std::string::npos && text.compare(failed, 10, "` failed: ") == 0)
      text.erase(0, failed + 10);
    else if (failed != std::string::npos)
      text = "needed is " + text.substr(assertion + 13, failed - assertion - 13);
  }
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    constexpr std::string_view kContext = "==> Context: ";
    if (text.compare(at, kContext.size(), kContext) == 0) {
      while (!line.empty() && (line.back() == ' ' || line.back() == ';')) line.pop_back();
      line += "; ";
      at += kContext.size();
      continue;
    }
    const char c = text[at++];
    const bool space = c == '\n' || c == '\t' || c == '\r' || c == ' ';
    if (!space)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line;
}

std::string describe(const pb::NodeProto& node) {
  if (!node.name().empty()) return fmt::format("{} '{}'", node.op_type(), node.name());
  for (const std::string& output : node.output()) {
    if (!output.empty()) return fmt::format("{} that makes '{}'", node.op_type(), output);
  }
  return node.op_type();
}

}  // namespace lanner::onnx
