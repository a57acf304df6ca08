// Between ONNX's protobuf messages and Lanner's tensors, attributes and types, both ways, and the little that
// everything in this folder asks of libonnx. Messages come from outside: nothing in them is trusted.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

#include "lanner/tensor.h"
#include "tensor/attributes.h"
#include "tensor/value_type.h"

namespace lanner::onnx {

namespace pb = ::onnx;

// Tensors above this leave the protobuf message during import: libonnx copies messages again and again.
inline constexpr std::size_t kInlineTensorBytes = 1024;

// The newest opset of ONNX's own domain that libonnx knows, and the newest file format.
int newest_opset();
int newest_ir_version();

// The tensor inside `proto`, which must hold its data itself. The memory of `raw_data` is taken over where possible.
// Throws `model.invalid` when data and dimensions disagree,
// `model.unsupported` for an element type that Lanner does not have.
Tensor take_tensor(pb::TensorProto& proto);
Tensor to_tensor(const pb::TensorProto& proto);
// The dense tensor that a sparse one stands for; throws likewise.
Tensor to_dense(const pb::SparseTensorProto& proto);
// Element type and shape alone.
ElementType element_type(const pb::TensorProto& proto);
Shape shape_of(const pb::TensorProto& proto);
// How many bytes ONNX stores a tensor's elements in; those below 8 bits share bytes, low bits first.
std::size_t stored_bytes(const Tensor& tensor);
// A tensor like `wanted`, whose elements of less than 8 bits are stored in `bytes`.
Tensor unpacked(const Tensor& wanted, const char* bytes);

// Fills data type, dimensions and, with `with_data`, the elements.
void set_tensor(pb::TensorProto& proto, const Tensor& tensor, bool with_data);

// Maps, sparse tensors and sequences of sequences become kUnknown.
tensor::ValueType to_value_type(const pb::TypeProto& proto);
// False, and `proto` unchanged, for kUnknown.
bool set_type(pb::TypeProto& proto, const tensor::ValueType& type);

// Any attribute but graphs. Throws `model.unsupported` for the kinds that no operator of ONNX uses.
tensor::Attribute to_attribute(const pb::AttributeProto& proto);
void set_attribute(pb::AttributeProto& proto, std::string_view name, const tensor::Attribute& attribute);

// libonnx's message on one line, without source locations.
std::string readable(const std::exception& error);

// "Conv 'conv_1'", or for a nameless node "Conv that makes 'out'".
std::string describe(const pb::NodeProto& node);

}  // namespace lanner::onnx
