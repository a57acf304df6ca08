#include "tensor/attributes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error_testing.h"

namespace lanner::tensor {
namespace {

using base::testing::reason_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;
using Strings = std::vector<std::string>;

Attributes one_of_each() {
  Attributes attributes;
  attributes.set("tensor", Tensor::of<float>({2}, {1, 2}));
  attributes.set("int", std::int64_t{-3});
  attributes.set("strings", Strings{"a", ""});
  attributes.set("float", 0.5f);
  attributes.set("ints", Ints{4, 5});
  attributes.set("string", std::string("text"));
  attributes.set("floats", Floats{1.5f});
  return attributes;
}

TEST(Attributes, GivesWhatWasSet) {
  const Attributes attributes = one_of_each();
  EXPECT_EQ(attributes.get_int("int", 7), -3);
  EXPECT_EQ(attributes.require_int("int"), -3);
  EXPECT_EQ(attributes.get_float("float", 7), 0.5f);
  EXPECT_EQ(attributes.get_string("string", "other"), "text");
  EXPECT_THAT(attributes.get_ints("ints"), ElementsAre(4, 5));
  EXPECT_THAT(attributes.get_floats("floats"), ElementsAre(1.5f));
  EXPECT_THAT(attributes.get_strings("strings"), ElementsAre("a", ""));
  EXPECT_TRUE(attributes.has("tensor"));
}

TEST(Attributes, GivesTheDefaultForWhatIsAbsent) {
  const Attributes attributes = one_of_each();
  EXPECT_EQ(attributes.get_int("in", 7), 7);
  EXPECT_EQ(attributes.get_float("in", 7), 7);
  EXPECT_EQ(attributes.get_string("in", "other"), "other");
  EXPECT_THAT(attributes.get_ints("in"), IsEmpty());
  EXPECT_THAT(attributes.get_floats("in"), IsEmpty());
  EXPECT_THAT(attributes.get_strings("in"), IsEmpty());
  EXPECT_EQ(attributes.find("zzz"), nullptr);
  EXPECT_EQ(reason_of([&] { attributes.require_int("in"); }), "op.attribute");
}

// Every getter against an attribute of every other type.
TEST(Attributes, AnotherTypeIsAnError) {
  const Attributes attributes = one_of_each();
  const auto expect_refused = [&](std::string_view own, const auto& get) {
    for (const auto& [name, value] : attributes.entries()) {
      EXPECT_EQ(reason_of([&] { get(name); }), name == own ? "" : "op.attribute") << own << " from " << name;
    }
  };
  expect_refused("int", [&](const std::string& name) { attributes.get_int(name, 0); });
  expect_refused("int", [&](const std::string& name) { attributes.require_int(name); });
  expect_refused("float", [&](const std::string& name) { attributes.get_float(name, 0); });
  expect_refused("string", [&](const std::string& name) { attributes.get_string(name, ""); });
  expect_refused("ints", [&](const std::string& name) { attributes.get_ints(name); });
  expect_refused("floats", [&](const std::string& name) { attributes.get_floats(name); });
  expect_refused("strings", [&](const std::string& name) { attributes.get_strings(name); });
}

TEST(Attributes, ErrorsNameBothTypes) {
  const auto message = [](const Attributes& attributes, std::string_view name) {
    try {
      attributes.get_int(name, 0);
    } catch (const Error& error) {
      return error.message();
    }
    return std::string();
  };
  EXPECT_EQ(message(one_of_each(), "floats"), "attribute 'floats' must be an int, but is floats");
  EXPECT_THAT(message(one_of_each(), "tensor"), HasSubstr("but is a tensor"));
  EXPECT_THAT(message(one_of_each(), "string"), HasSubstr("but is a string"));
}

TEST(Attributes, AreOrderedByNameHoweverTheyWereSet) {
  std::vector<std::string> names;
  const Attributes attributes = one_of_each();
  for (const auto& [name, value] : attributes.entries()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("float", "floats", "int", "ints", "string", "strings", "tensor"));
}

TEST(Attributes, SettingAgainReplacesAndErasingRemoves) {
  Attributes attributes = one_of_each();
  attributes.set("int", Floats{2});
  EXPECT_THAT(attributes.get_floats("int"), ElementsAre(2));
  EXPECT_EQ(attributes.entries().size(), 7u);
  attributes.erase("int");
  attributes.erase("int");
  EXPECT_FALSE(attributes.has("int"));
  EXPECT_EQ(attributes.entries().size(), 6u);
  EXPECT_TRUE(Attributes().empty());
}

TEST(SameAttribute, ComparesTypeAndContent) {
  EXPECT_EQ(one_of_each(), one_of_each());
  const Attributes attributes = one_of_each();
  for (const auto& [name, value] : attributes.entries()) {
    Attributes other = one_of_each();
    other.erase(name);
    EXPECT_FALSE(other == one_of_each()) << name;
    other.set(name, std::int64_t{99});
    EXPECT_FALSE(other == one_of_each()) << name;
  }
  EXPECT_FALSE(same_attribute(std::int64_t{1}, 1.0f));
  EXPECT_FALSE(same_attribute(Ints{}, Floats{}));
}

TEST(SameAttribute, ComparesTensorsByTypeShapeAndContent) {
  const Tensor tensor = Tensor::of<float>({2}, {1, 2});
  EXPECT_TRUE(same_attribute(tensor, tensor.clone()));
  EXPECT_FALSE(same_attribute(tensor, tensor.reshaped({2, 1})));
  EXPECT_FALSE(same_attribute(tensor, Tensor::of<float>({2}, {1, 3})));
  EXPECT_FALSE(same_attribute(Tensor::of<std::int32_t>({1}, {0}), Tensor::of<float>({1}, {0})));
  EXPECT_TRUE(same_attribute(Tensor::of<std::string>({1}, {"a"}), Tensor::of<std::string>({1}, {"a"})));
  EXPECT_FALSE(same_attribute(Tensor::of<std::string>({1}, {"a"}), Tensor::of<std::string>({1}, {"b"})));
  EXPECT_TRUE(same_attribute(Tensor(), Tensor()));
}

// Nodes with equal attributes may be merged, so the sign of a zero counts and a NaN equals itself.
TEST(SameAttribute, ComparesFloatsByTheirBits) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(same_attribute(0.0f, -0.0f));
  EXPECT_TRUE(same_attribute(nan, nan));
  EXPECT_FALSE(same_attribute(Floats{1, 0.0f}, Floats{1, -0.0f}));
  EXPECT_TRUE(same_attribute(Floats{nan, 1}, Floats{nan, 1}));
  EXPECT_FALSE(same_attribute(Floats{1}, Floats{1, 1}));
  EXPECT_FALSE(same_attribute(Tensor::scalar(0.0f), Tensor::scalar(-0.0f)));
}

}  // namespace
}  // namespace lanner::tensor
