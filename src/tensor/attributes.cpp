#include "tensor/attributes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/fail.h"

namespace lanner::tensor {

namespace {

constexpr std::string_view kKindNames[] = {"an int", "a float", "a string", "a tensor", "ints", "floats", "strings"};

template <typename T>
const T* find_as(const Attributes& attributes, std::string_view name, std::string_view wanted) {
  const Attribute* attribute = attributes.find(name);
  if (attribute == nullptr) return nullptr;
  const T* value = std::get_if<T>(attribute);
  if (value == nullptr) {
    base::invalid("op.attribute", "attribute '{}' must be {}, but is {}", name, wanted, kKindNames[attribute->index()]);
  }
  return value;
}

bool same_tensor(const Tensor& a, const Tensor& b) {
  if (a.element_type() != b.element_type() || !(a.shape() == b.shape())) return false;
  if (a.element_type() == ElementType::kString) {
    return std::ranges::equal(a.values<std::string>(), b.values<std::string>());
  }
  return a.byte_count() == 0 || std::memcmp(a.raw_data(), b.raw_data(), a.byte_count()) == 0;
}

// The sign of a zero counts, and a NaN equals itself.
bool same_float(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

}  // namespace

bool same_attribute(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&]<typename T>(const T& value) {
        const T& other = std::get<T>(b);
        if constexpr (std::is_same_v<T, Tensor>)
          return same_tensor(value, other);
        else if constexpr (std::is_same_v<T, float>)
          return same_float(value, other);
        else if constexpr (std::is_same_v<T, std::vector<float>>)
          return std::ranges::equal(value, other, same_float);
        else
          return value == other;
      },
      a);
}

void Attributes::set(std::string name, Attribute value) {
  auto at = std::ranges::lower_bound(entries_, name, {}, &std::pair<std::string, Attribute>::first);
  if (at != entries_.end() && at->first == name) {
    at->second = std::move(value);
  } else {
    entries_.emplace(at, std::move(name), std::move(value));
  }
}

void Attributes::erase(std::string_view name) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first == name; });
}

const Attribute* Attributes::find(std::string_view name) const {
  const auto at =
      std::ranges::lower_bound(entries_, name, {}, [](const auto& e) -> std::string_view { return e.first; });
  return at != entries_.end() && at->first == name ? &at->second : nullptr;
}

std::int64_t Attributes::get_int(std::string_view name, std::int64_t otherwise) const {
  const auto* value = find_as<std::int64_t>(*this, name, "an int");
  return value != nullptr ? *value : otherwise;
}

std::int64_t Attributes::require_int(std::string_view name) const {
  const auto* value = find_as<std::int64_t>(*this, name, "an int");
  if (value == nullptr) base::invalid("op.attribute", "attribute '{}' is required, but absent", name);
  return *value;
}

float Attributes::get_float(std::string_view name, float otherwise) const {
  const auto* value = find_as<float>(*this, name, "a float");
  return value != nullptr ? *value : otherwise;
}

std::string Attributes::get_string(std::string_view name, std::string_view otherwise) const {
  const auto* value = find_as<std::string>(*this, name, "a string");
  return value != nullptr ? *value : std::string(otherwise);
}

std::vector<std::int64_t> Attributes::get_ints(std::string_view name) const {
  const auto* value = find_as<std::vector<std::int64_t>>(*this, name, "ints");
  return value != nullptr ? *value : std::vector<std::int64_t>{};
}

std::vector<float> Attributes::get_floats(std::string_view name) const {
  const auto* value = find_as<std::vector<float>>(*this, name, "floats");
  return value != nullptr ? *value : std::vector<float>{};
}

std::vector<std::string> Attributes::get_strings(std::string_view name) const {
  const auto* value = find_as<std::vector<std::string>>(*this, name, "strings");
  return value != nullptr ? *value : std::vector<std::string>{};
}

bool operator==(const Attributes& a, const Attributes& b) {
  return std::ranges::equal(a.entries(), b.entries(), [](const auto& x, const auto& y) {
    return x.first == y.first && same_attribute(x.second, y.second);
  });
}

}  // namespace lanner::tensor
