// The attributes of a node or instruction: an ordered list of names and values, as in an ONNX NodeProto.
// Graph-valued attributes are not here: the graph and the program hold sub-graphs in their own form.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "lanner/tensor.h"

namespace lanner::tensor {

using Attribute = std::variant<std::int64_t, float, std::string, Tensor, std::vector<std::int64_t>, std::vector<float>,
                               std::vector<std::string>>;

// Bytewise equality; tensors compare by type, shape and content.
bool same_attribute(const Attribute& a, const Attribute& b);

// Lookups throw `op.attribute` when the attribute has another type than asked for, or is required and absent.
class Attributes {
 public:
  void set(std::string name, Attribute value);
  void erase(std::string_view name);
  const Attribute* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }

  std::int64_t get_int(std::string_view name, std::int64_t otherwise) const;
  std::int64_t require_int(std::string_view name) const;
  float get_float(std::string_view name, float otherwise) const;
  std::string get_string(std::string_view name, std::string_view otherwise) const;
  // Empty when absent.
  std::vector<std::int64_t> get_ints(std::string_view name) const;
  std::vector<float> get_floats(std::string_view name) const;
  std::vector<std::string> get_strings(std::string_view name) const;

  bool empty() const { return entries_.empty(); }
  std::span<const std::pair<std::string, Attribute>> entries() const { return entries_; }

  friend bool operator==(const Attributes& a, const Attributes& b);

 private:
  std::vector<std::pair<std::string, Attribute>> entries_;  // sorted by name
};

}  // namespace lanner::tensor
