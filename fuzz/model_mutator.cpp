#include "fuzz/model_mutator.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <vector>

#include "fuzz/text_mutator.h"

namespace lanner::fuzz {

namespace {

namespace pb = ::onnx;

// Everything of a model that a change may be made to.
struct Parts {
  std::vector<pb::GraphProto*> graphs;
  std::vector<google::protobuf::RepeatedPtrField<pb::NodeProto>*> node_lists;
  std::vector<pb::NodeProto*> nodes;
  std::vector<pb::AttributeProto*> attributes;
  std::vector<pb::TensorProto*> tensors;
  std::vector<pb::ValueInfoProto*> infos;
  std::vector<std::string*> names;  // of values

  void add(google::protobuf::RepeatedPtrField<pb::NodeProto>& list) {
    node_lists.push_back(&list);
    for (pb::NodeProto& node : list) {
      nodes.push_back(&node);
      for (std::string& name : *node.mutable_input()) names.push_back(&name);
      for (std::string& name : *node.mutable_output()) names.push_back(&name);
      for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
        attributes.push_back(&attribute);
        if (attribute.has_t()) tensors.push_back(attribute.mutable_t());
        if (attribute.has_g()) add(*attribute.mutable_g());
      }
    }
  }

  void add(pb::GraphProto& graph) {
    graphs.push_back(&graph);
    for (pb::TensorProto& tensor : *graph.mutable_initializer()) {
      tensors.push_back(&tensor);
      names.push_back(tensor.mutable_name());
    }
    for (auto* list : {graph.mutable_input(), graph.mutable_output(), graph.mutable_value_info()}) {
      for (pb::ValueInfoProto& info : *list) {
        infos.push_back(&info);
        names.push_back(info.mutable_name());
      }
    }
    add(*graph.mutable_node());
  }
};

template <typename T>
T* any_of(const std::vector<T*>& list, Random& random) {
  return list.empty() ? nullptr : list[random.below(list.size())];
}

int any_element_type(Random& random) {
  return static_cast<int>(random.below(28));
}

void change(pb::TensorProto& tensor, Random& random) {
  switch (random.below(6)) {
    case 0:
      tensor.set_data_type(any_element_type(random));
      break;
    case 1:
      tensor.add_dims(any_integer(random));
      break;
    case 2:
      if (tensor.dims_size() != 0) tensor.mutable_dims()->RemoveLast();
      break;
    case 3:
      if (tensor.dims_size() != 0) {
        tensor.set_dims(static_cast<int>(random.below(static_cast<std::size_t>(tensor.dims_size()))),
                        any_integer(random));
      }
      break;
    case 4: {
      const std::int64_t value = any_integer(random);
      if (tensor.int64_data_size() != 0) {
        tensor.set_int64_data(static_cast<int>(random.below(static_cast<std::size_t>(tensor.int64_data_size()))),
                              value);
      } else if (tensor.raw_data().size() >= sizeof(value)) {
        const std::size_t at = random.below(tensor.raw_data().size() / sizeof(value)) * sizeof(value);
        tensor.mutable_raw_data()->replace(at, sizeof(value), reinterpret_cast<const char*>(&value), sizeof(value));
      }
      break;
    }
    default: {
      tensor.set_data_location(pb::TensorProto::EXTERNAL);
      pb::StringStringEntryProto* entry = tensor.add_external_data();
      entry->set_key(std::string(any_word(random)));
      entry->set_value(random.one_in(2) ? "/etc/passwd" : std::to_string(any_integer(random)));
    }
  }
}

void change(pb::AttributeProto& attribute, Random& random) {
  if (random.one_in(3)) attribute.set_name(std::string(any_word(random)));
  switch (random.below(6)) {
    case 0:
      attribute.set_type(pb::AttributeProto::STRING);
      attribute.set_s(std::string(any_word(random)));
      break;
    case 1:
      attribute.set_type(pb::AttributeProto::FLOAT);
      attribute.set_f(static_cast<float>(any_integer(random)) * 0.5f);
      break;
    case 2:
      attribute.set_type(pb::AttributeProto::INTS);
      attribute.add_ints(any_integer(random));
      break;
    case 3:
      if (attribute.ints_size() == 0) break;
      attribute.set_ints(static_cast<int>(random.below(static_cast<std::size_t>(attribute.ints_size()))),
                         any_integer(random));
      break;
    default:
      attribute.set_type(pb::AttributeProto::INT);
      attribute.set_i(any_integer(random));
  }
}

void change(pb::ValueInfoProto& info, Random& random) {
  pb::TypeProto_Tensor& type = *info.mutable_type()->mutable_tensor_type();
  switch (random.below(5)) {
    case 0:
      type.set_elem_type(any_element_type(random));
      break;
    case 1:
      type.clear_shape();
      break;
    case 2:
      type.mutable_shape()->add_dim()->set_dim_value(any_integer(random));
      break;
    default:
      if (type.shape().dim_size() == 0) break;
      auto& dim = *type.mutable_shape()->mutable_dim(
          static_cast<int>(random.below(static_cast<std::size_t>(type.shape().dim_size()))));
      if (random.one_in(2))
        dim.set_dim_param("N");
      else
        dim.set_dim_value(any_integer(random));
  }
}

void change(pb::ModelProto& model, Random& random) {
  Parts parts;
  parts.add(*model.mutable_graph());
  for (pb::FunctionProto& function : *model.mutable_functions()) parts.add(*function.mutable_node());
  pb::NodeProto* const node = any_of(parts.nodes, random);
  switch (random.below(12)) {
    case 0:
    case 1:
      if (node != nullptr) node->set_op_type(std::string(any_operator(random)));
      break;
    case 2:
    case 3:
      if (auto* attribute = any_of(parts.attributes, random)) change(*attribute, random);
      break;
    case 4:
      if (node == nullptr) break;
      node->add_attribute()->set_name(std::string(any_word(random)));
      change(*node->mutable_attribute(node->attribute_size() - 1), random);
      break;
    case 5:
    case 6:
      if (auto* tensor = any_of(parts.tensors, random)) change(*tensor, random);
      break;
    case 7:
      if (auto* info = any_of(parts.infos, random)) change(*info, random);
      break;
    case 8: {
      std::string* const to = any_of(parts.names, random);
      std::string* const from = any_of(parts.names, random);
      if (to != nullptr && to != from) *to = random.one_in(6) ? std::string() : *from;
      break;
    }
    case 9: {
      auto* const list = any_of(parts.node_lists, random);
      if (list == nullptr || node == nullptr) break;
      if (random.one_in(3) && list->size() > 1) {
        list->DeleteSubrange(static_cast<int>(random.below(static_cast<std::size_t>(list->size()))), 1);
      } else {
        const pb::NodeProto copy = *node;
        *list->Add() = copy;
        for (std::string& name : *list->Mutable(list->size() - 1)->mutable_output()) name += "'";
      }
      break;
    }
    case 10:
      if (random.one_in(2) || model.opset_import_size() == 0)
        model.set_ir_version(any_integer(random));
      else
        model.mutable_opset_import(0)->set_version(1 + static_cast<std::int64_t>(random.below(28)));
      break;
    default:
      if (node == nullptr) break;
      if (random.one_in(2))
        node->add_input(parts.names.empty() || random.one_in(3) ? std::string() : *any_of(parts.names, random));
      else
        node->add_output("more" + std::to_string(random.below(100)));
  }
}

}  // namespace

std::string mutate_model(const std::string& bytes, Random& random) {
  pb::ModelProto model;
  if (!model.ParseFromString(bytes)) return bytes;
  for (std::size_t i = 1 + random.below(3); i > 0; --i) change(model, random);
  return model.SerializePartialAsString();
}

}  // namespace lanner::fuzz
