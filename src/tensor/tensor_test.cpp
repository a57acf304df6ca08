#include "lanner/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <set>

#include "base/error_testing.h"

namespace lanner {
namespace {

using base::testing::reason_of;
using ::testing::ElementsAre;

constexpr int kTypeCount = 26;  // ONNX's types are numbered from 1 without a gap

TEST(ElementType, EveryNumberHasItsOwnNameAndSize) {
  std::set<std::string_view> names;
  for (int number = 1; number <= kTypeCount; ++number) {
    const auto type = static_cast<ElementType>(number);
    const std::string_view name = element_type_name(type);
    EXPECT_NE(name, "undefined") << number;
    EXPECT_GT(element_bits(type), 0) << name;
    EXPECT_EQ(element_type_from_name(name), type);
    names.insert(name);
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kTypeCount));
}

TEST(ElementType, AnythingElseIsUndefined) {
  for (const int number : {0, kTypeCount + 1, 255}) {
    EXPECT_EQ(element_type_name(static_cast<ElementType>(number)), "undefined");
    EXPECT_EQ(element_bits(static_cast<ElementType>(number)), 0);
  }
  for (const std::string_view name : {"", "undefined", "float", "Float32", "float32 ", "int128"}) {
    EXPECT_EQ(element_type_from_name(name), ElementType::kUndefined) << name;
  }
}

template <typename T>
void expect_size_of() {
  EXPECT_EQ(element_bits(element_type_of<T>()), static_cast<int>(8 * sizeof(T)));
}

TEST(ElementType, SizesAreThoseOfTheCppTypes) {
  expect_size_of<float>();
  expect_size_of<double>();
  expect_size_of<bool>();
  expect_size_of<std::int8_t>();
  expect_size_of<std::int16_t>();
  expect_size_of<std::int32_t>();
  expect_size_of<std::int64_t>();
  expect_size_of<std::uint8_t>();
  expect_size_of<std::uint16_t>();
  expect_size_of<std::uint32_t>();
  expect_size_of<std::uint64_t>();
  expect_size_of<std::string>();
}

TEST(Shape, AScalarHasOneElementAndAZeroNone) {
  EXPECT_EQ(Shape().element_count(), 1);
  EXPECT_EQ(Shape({2, 3, 4}).element_count(), 24);
  EXPECT_EQ(Shape({2, 0, 4}).element_count(), 0);
  EXPECT_EQ(Shape({2, 3, 4}).element_count(1, 3), 12);
  EXPECT_EQ(Shape({2, 3, 4}).element_count(2, 2), 1);
}

TEST(Shape, RefusesMoreElementsThanCanBeCounted) {
  constexpr std::int64_t kBig = std::int64_t{1} << 32;
  EXPECT_EQ(Shape({kBig, kBig / 4}).element_count(), std::int64_t{1} << 62);
  EXPECT_EQ(reason_of([&] { Shape({kBig, kBig / 2}).element_count(); }), "op.size");
  EXPECT_EQ(reason_of([&] { Shape({INT64_MAX, 2}).element_count(); }), "op.size");
  EXPECT_EQ(Shape({INT64_MAX}).element_count(), INT64_MAX);
  // A zero counts, wherever it stands.
  EXPECT_EQ(Shape({kBig, kBig, kBig, 0}).element_count(), 0);
  EXPECT_EQ(Shape({0, kBig, kBig, kBig}).element_count(), 0);
  EXPECT_EQ(reason_of([&] { Shape({0, kBig, kBig}).element_count(1, 3); }), "op.size");
}

TEST(Shape, HoldsUpToEightDimensions) {
  Shape shape({1, 2, 3, 4, 5, 6, 7});
  shape.push_back(8);
  EXPECT_THAT(shape.dims(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_EQ(reason_of([&] { shape.push_back(9); }), "op.rank");
  EXPECT_EQ(reason_of([] { Shape({1, 1, 1, 1, 1, 1, 1, 1, 1}); }), "op.rank");
  EXPECT_EQ(shape.rank(), 8);
}

TEST(Shape, RefusesNegativeDimensions) {
  EXPECT_EQ(reason_of([] { Shape({2, -1}); }), "op.shape");
  Shape shape;
  EXPECT_EQ(reason_of([&] { shape.push_back(INT64_MIN); }), "op.shape");
  EXPECT_EQ(shape.rank(), 0);
}

TEST(Shape, ComparesRankAndDimensions) {
  EXPECT_EQ(Shape({1, 2}), Shape({1, 2}));
  EXPECT_NE(Shape({1, 2}), Shape({1, 2, 1}));
  EXPECT_NE(Shape({1, 2}), Shape({2, 1}));
  EXPECT_NE(Shape({0}), Shape());
  EXPECT_EQ(Shape({1, 3, 300}).to_string(), "[1,3,300]");
  EXPECT_EQ(Shape().to_string(), "[]");
}

TEST(Tensor, AllocatesAlignedMemory) {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{7, 3}, Shape{1000}}) {
    const Tensor tensor = Tensor::allocate(ElementType::kInt8, shape);
    EXPECT_TRUE(tensor.defined());
    EXPECT_NE(tensor.raw_data(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.raw_data()) % 64, 0u);
    EXPECT_EQ(tensor.byte_count(), static_cast<std::size_t>(shape.element_count()));
  }
}

TEST(Tensor, GivesSmallElementsAByteEach) {
  const auto bytes = [](ElementType type, std::int64_t count) { return Tensor::allocate(type, {count}).byte_count(); };
  EXPECT_EQ(bytes(ElementType::kInt4, 0), 0u);
  EXPECT_EQ(bytes(ElementType::kInt4, 1), 1u);
  EXPECT_EQ(bytes(ElementType::kUint4, 5), 5u);
  EXPECT_EQ(bytes(ElementType::kUint2, 5), 5u);
  EXPECT_EQ(bytes(ElementType::kComplex128, 3), 48u);
}

TEST(Tensor, RefusesWhatCannotBeAddressed) {
  EXPECT_EQ(reason_of([] { Tensor::allocate(ElementType::kFloat64, {std::int64_t{1} << 61}); }), "op.size");
  EXPECT_EQ(reason_of([] { Tensor::allocate(ElementType::kUint8, {INT64_MAX}); }), "op.size");
  EXPECT_EQ(reason_of([] { Tensor::wrap(ElementType::kFloat32, {INT64_MAX, 4}, nullptr).byte_count(); }), "op.size");
}

TEST(Tensor, RefusesStridesThatCannotBeComputed) {
  constexpr std::int64_t kBig = std::int64_t{1} << 40;
  EXPECT_EQ(reason_of([&] { Tensor::allocate(ElementType::kUint8, {0, kBig, kBig}); }), "op.size");
  EXPECT_EQ(reason_of([&] { Tensor::wrap(ElementType::kUint8, {kBig, kBig, 0}, nullptr); }), "op.size");
  const Tensor empty = Tensor::allocate(ElementType::kUint8, {0, kBig});
  EXPECT_EQ(reason_of([&] { static_cast<void>(empty.reshaped({kBig, 0, kBig})); }), "op.size");
}

TEST(Tensor, RefusesDimensionsThatHaveBecomeNegative) {
  Shape shape{2, 3};
  shape[0] = -2;
  EXPECT_EQ(reason_of([&] { static_cast<void>(shape.element_count()); }), "op.shape");
  shape[1] = -3;
  EXPECT_EQ(reason_of([&] { Tensor::allocate(ElementType::kUint8, shape); }), "op.shape");
}

TEST(Tensor, SaysThatMemoryIsExhausted) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer ends the process instead";
#endif
  EXPECT_EQ(reason_of([] { Tensor::allocate(ElementType::kUint8, {std::int64_t{1} << 59}); }), "memory.exhausted");
  EXPECT_EQ(reason_of([] { Tensor::allocate(ElementType::kString, {std::int64_t{1} << 53}); }), "memory.exhausted");
}

TEST(Tensor, HoldsLiteralValues) {
  const Tensor tensor = Tensor::of<std::int32_t>({2, 2}, {1, 2, 3, 4});
  EXPECT_THAT(tensor.values<std::int32_t>(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(tensor.type_string(), "int32[2,2]");
  EXPECT_EQ(*Tensor::scalar(2.5).data<double>(), 2.5);
  EXPECT_EQ(Tensor::scalar(true).type_string(), "bool[]");
}

TEST(Tensor, CopiesShareTheirMemory) {
  Tensor first = Tensor::of<float>({2}, {1, 2});
  const Tensor copy = first;
  first.data<float>()[0] = 9;
  EXPECT_EQ(copy.data<float>()[0], 9);
  EXPECT_EQ(first.owner().use_count(), 2);
}

TEST(Tensor, WrapsForeignMemoryAndKeepsItsOwner) {
  float values[] = {1, 2, 3};
  const Tensor plain = Tensor::wrap(ElementType::kFloat32, {3}, values);
  EXPECT_EQ(plain.raw_data(), values);
  EXPECT_EQ(plain.owner(), nullptr);

  auto owned = std::make_shared<std::vector<float>>(3, 7.0f);
  const std::weak_ptr<std::vector<float>> watch = owned;
  Tensor tensor = Tensor::wrap(ElementType::kFloat32, {3}, owned->data(), owned);
  owned.reset();
  Tensor view = tensor.reshaped({3, 1});
  tensor = {};
  EXPECT_EQ(view.values<float>()[2], 7.0f);
  view = {};
  EXPECT_TRUE(watch.expired());
}

TEST(Tensor, ReshapesInPlace) {
  const Tensor tensor = Tensor::of<std::int64_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor flat = tensor.reshaped({6});
  EXPECT_EQ(flat.raw_data(), tensor.raw_data());
  EXPECT_EQ(flat.shape(), Shape({6}));
  EXPECT_EQ(tensor.shape(), Shape({2, 3}));
}

TEST(Tensor, ClonesOntoItsOwnMemory) {
  Tensor tensor = Tensor::of<float>({2}, {1, 2});
  const Tensor copy = tensor.clone();
  tensor.data<float>()[0] = 9;
  EXPECT_THAT(copy.values<float>(), ElementsAre(1, 2));
  EXPECT_FALSE(Tensor().clone().defined());
  EXPECT_EQ(Tensor::allocate(ElementType::kFloat32, {0, 3}).clone().shape(), Shape({0, 3}));
  // Memory that is not there is not read.
  EXPECT_EQ(Tensor::wrap(ElementType::kFloat32, {0}, nullptr).clone().element_count(), 0);
}

TEST(Tensor, ClonesStringsOneByOne) {
  const std::string long_text(100, 'x');
  Tensor tensor = Tensor::of<std::string>({2}, {"", long_text});
  const Tensor copy = tensor.clone();
  tensor.data<std::string>()[1] = "changed";
  EXPECT_THAT(copy.values<std::string>(), ElementsAre("", long_text));
  EXPECT_THAT(Tensor::allocate(ElementType::kString, {2}).values<std::string>(), ElementsAre("", ""));
  EXPECT_EQ(Tensor::allocate(ElementType::kString, {0}).element_count(), 0);
}

TEST(Tensor, UsesTheAllocatorItIsGiven) {
  class Counting : public Allocator {
   public:
    std::shared_ptr<void> allocate(std::size_t byte_count) override {
      bytes += byte_count;
      return heap_allocator().allocate(byte_count);
    }
    std::size_t bytes = 0;
  } allocator;
  const Tensor tensor = Tensor::allocate(ElementType::kFloat32, {3}, allocator);
  EXPECT_EQ(allocator.bytes, 12u);
  std::memset(const_cast<void*>(tensor.raw_data()), 0, tensor.byte_count());
  tensor.clone(allocator);
  EXPECT_EQ(allocator.bytes, 24u);
}

TEST(Value, HoldsOneOfThreeKinds) {
  Value value;
  EXPECT_TRUE(value.is_none());
  value = Tensor::scalar(1.0f);
  EXPECT_TRUE(value.is_tensor());
  value = Sequence{Tensor::scalar(1.0f), Tensor::scalar(2.0f)};
  EXPECT_TRUE(value.is_sequence());
  EXPECT_EQ(value.sequence().size(), 2u);
  value.reset();
  EXPECT_TRUE(value.is_none());
  EXPECT_THROW(value.tensor(), std::bad_variant_access);
}

}  // namespace
}  // namespace lanner
