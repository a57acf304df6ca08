// ai.onnx.ml's LabelEncoder: each element becomes what the attributes map it to, or the default. Keys and values are
// floats, integers, strings or, both or one, a tensor; a NaN is one key whatever its bits are. The last of equal keys
// counts.
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/fail.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::Attributes;
using KeyTypes = tensor::TypeList<std::int16_t, std::int32_t, std::int64_t, float, double, std::string>;

template <typename T>
Tensor vector_of(const std::vector<T>& values) {
  return Tensor::of<T>({static_cast<std::int64_t>(values.size())}, values);
}

// The attribute PREFIX_floats, PREFIX_int64s, PREFIX_strings or PREFIX_tensor, whichever there is.
Tensor list_of(const Attributes& attributes, const std::string& prefix) {
  if (attributes.has(prefix + "_floats")) return vector_of(attributes.get_floats(prefix + "_floats"));
  if (attributes.has(prefix + "_int64s")) return vector_of(attributes.get_ints(prefix + "_int64s"));
  if (attributes.has(prefix + "_strings")) return vector_of(attributes.get_strings(prefix + "_strings"));
  const tensor::Attribute* given = attributes.find(prefix + "_tensor");
  if (given == nullptr) base::invalid("op.attribute", "there are no {}", prefix);
  if (!std::holds_alternative<Tensor>(*given)) base::invalid("op.attribute", "{}_tensor must be a tensor", prefix);
  return std::get<Tensor>(*given);
}

// What elements without a key become: of the values' type.
Tensor default_of(const Attributes& attributes, ElementType type) {
  if (const tensor::Attribute* given = attributes.find("default_tensor")) {
    if (const Tensor* value = std::get_if<Tensor>(given);
        value != nullptr && value->element_type() == type && value->element_count() == 1) {
      return *value;
    }
    base::invalid("op.attribute", "default_tensor must be one element of {}", element_type_name(type));
  }
  if (type == ElementType::kString) return Tensor::scalar(attributes.get_string("default_string", "_Unused"));
  if (type == ElementType::kFloat32) return Tensor::scalar(attributes.get_float("default_float", -0.0f));
  if (type == ElementType::kInt64) return Tensor::scalar(attributes.get_int("default_int64", -1));
  Tensor value;
  tensor::dispatch(KeyTypes{}, type, "LabelEncoder", [&]<typename T>() {
    if constexpr (std::is_same_v<T, double>)
      value = Tensor::scalar(-0.0);
    else if constexpr (!std::is_same_v<T, std::string>)
      value = Tensor::scalar(static_cast<T>(-1));
  });
  return value;
}

// Keys, the positions of their values, and where NaN is kept: it equals nothing, so no table finds it.
template <typename T>
struct Table {
  std::unordered_map<T, std::int64_t> positions;
  std::int64_t of_nan = -1;

  explicit Table(const Tensor& keys) {
    for (std::int64_t i = 0; i < keys.element_count(); ++i) {
      const T& key = keys.data<T>()[i];
      if (is_nan(key))
        of_nan = i;
      else
        positions[key] = i;
    }
  }
  // -1 for what is no key.
  std::int64_t find(const T& key) const {
    if (is_nan(key)) return of_nan;
    const auto at = positions.find(key);
    return at != positions.end() ? at->second : -1;
  }
  static bool is_nan(const T& key) {
    if constexpr (std::is_floating_point_v<T>)
      return std::isnan(key);
    else
      return false;
  }
};

struct Lists {
  Tensor keys;
  Tensor values;
};

// Before version 2 of ai.onnx.ml's LabelEncoder there was one list, `classes_strings`, that maps both ways.
Lists lists_of(const Attributes& attributes) {
  if (attributes.has("classes_strings")) {
    base::fail(ErrorCode::kUnimplemented, "op.attribute",
               "a LabelEncoder with classes_strings is of a version before 2");
  }
  Lists lists{list_of(attributes, "keys"), list_of(attributes, "values")};
  if (lists.keys.element_count() != lists.values.element_count()) {
    base::invalid("op.attribute", "there are {} keys for {} values", lists.keys.element_count(),
                  lists.values.element_count());
  }
  return lists;
}

template <typename T>
std::unique_ptr<Kernel> encoder(const Lists& lists, const Tensor& otherwise) {
  const auto table = std::make_shared<const Table<T>>(lists.keys);
  return make_kernel([table, values = lists.values, otherwise](KernelContext& context) {
    const Tensor& input = context.input(0);
    if (input.element_type() != element_type_of<T>()) {
      base::invalid("op.type", "the input must have the keys' element type {}, but has {}",
                    element_type_name(element_type_of<T>()), element_type_name(input.element_type()));
    }
    Tensor& out = context.allocate_output(0, values.element_type(), input.shape());
    dispatch_moved(values.element_type(), [&]<typename V>() {
      const V* const from = static_cast<const V*>(values.raw_data());
      const V* const missing = static_cast<const V*>(otherwise.raw_data());
      V* to = static_cast<V*>(out.raw_data());
      for (const T& key : input.values<T>()) {
        const std::int64_t at = table->find(key);
        *to++ = at < 0 ? *missing : from[at];
      }
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_LabelEncoder(const KernelInfo& info) {
  const Lists lists = lists_of(info.attributes);
  const Tensor otherwise = default_of(info.attributes, lists.values.element_type());
  std::unique_ptr<Kernel> kernel;
  tensor::dispatch(KeyTypes{}, lists.keys.element_type(), "LabelEncoder's keys",
                   [&]<typename T>() { kernel = encoder<T>(lists, otherwise); });
  return kernel;
}

}  // namespace lanner::kernels
