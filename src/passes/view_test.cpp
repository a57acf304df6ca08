#include "passes/view.h"

#include <random>

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

using Dims = std::vector<I>;

View whole(Dims dims) {
  View view = *layout_of(std::move(dims));
  view.base = view.whole = ValueId{7};
  return view;
}

// The elements a static view shows, in row-major order.
Dims elements(const View& view) {
  Dims result{view.offset};
  for (int axis = 0; axis < view.rank(); ++axis) {
    Dims next;
    for (const I base : result) {
      for (I i = 0; i < view.dims[static_cast<std::size_t>(axis)]; ++i) {
        next.push_back(base + i * view.strides[static_cast<std::size_t>(axis)]);
      }
    }
    result = std::move(next);
  }
  return result;
}

Tensor counting(const Dims& dims) {
  Tensor tensor = Tensor::allocate(ElementType::kInt64, Shape(dims));
  for (I i = 0; i < tensor.element_count(); ++i) tensor.data<I>()[i] = i;
  return tensor;
}

Dims run(std::string_view op, const Tensor& data, std::vector<Tensor> more, tensor::Attributes attributes, Dims* dims) {
  std::vector<Value> values{data};
  values.insert(values.end(), more.begin(), more.end());
  std::vector<const Value*> inputs;
  for (const Value& value : values) inputs.push_back(&value);
  Node node = make_node(op, std::vector<ValueId>(values.size()), std::move(attributes));
  node.outputs = {ValueId{1}};
  const Tensor out = run_node(node, inputs, 1 << 20)[0].tensor();
  dims->assign(out.shape().begin(), out.shape().end());
  return {out.values<I>().begin(), out.values<I>().end()};
}

Tensor list(const Dims& values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, std::span<const I>(values));
}

// Chains of operators, each against its kernel on a tensor of element numbers.
TEST(View, ShowsWhatTheOperatorsMake) {
  std::mt19937 engine(1);
  const auto of = [&](I count) { return static_cast<I>(engine() % static_cast<unsigned>(count)); };
  int followed = 0;
  for (int round = 0; round < 2000; ++round) {
    Dims dims;
    for (I rank = 1 + of(4); rank > 0; --rank) dims.push_back(1 + of(4));
    View view = whole(dims);
    Tensor tensor = counting(dims);
    for (int step = 0; step < 4; ++step) {
      Dims expected;
      Dims shown;
      std::optional<View> next;
      const int rank = view.rank();
      const I kind = of(4);
      if (kind == 0) {
        Dims perm;
        for (int i = 0; i < rank; ++i) perm.push_back(i);
        std::shuffle(perm.begin(), perm.end(), engine);
        next = transposed(view, perm);
        expected = run("Transpose", tensor, {}, attributes({{"perm", perm}}), &shown);
      } else if (kind == 1 && rank > 0) {
        const int axis = static_cast<int>(of(rank));
        const I size = view.dims[static_cast<std::size_t>(axis)];
        const I start = of(size);
        const I stride = 1 + of(2);
        next = sliced(view, axis, start, stride, (size - start - 1) / stride + 1);
        expected = run("Slice", tensor, {list({start}), list({size}), list({axis}), list({stride})}, {}, &shown);
      } else if (kind == 2) {
        const int axis = static_cast<int>(of(rank + 1));
        next = with_axis(view, axis);
        expected = run("Unsqueeze", tensor, {list({axis})}, {}, &shown);
      } else {
        // The factors of the element count in another order of axes.
        Dims factors;
        for (I count = tensor.element_count(), factor = 2; count > 1;) {
          if (count % factor == 0) {
            factors.push_back(factor);
            count /= factor;
          } else {
            ++factor;
          }
        }
        std::shuffle(factors.begin(), factors.end(), engine);
        Dims wanted{1};
        for (const I factor : factors) {
          if (of(2) == 0) wanted.push_back(1);
          wanted.back() *= factor;
        }
        if (wanted.size() > 6) continue;
        next = reshaped(view, wanted);
        expected = run("Reshape", tensor, {list(wanted)}, {}, &shown);
      }
      if (!next || shown.size() > 6) break;
      ++followed;
      ASSERT_EQ(next->dims, shown);
      ASSERT_EQ(elements(*next), expected);
      // The elements of `whole` are those of the view.
      if (next->whole != kNoValue) {
        ASSERT_EQ(expected, elements(whole(dims)));
      }
      view = *next;
      tensor = Tensor::of<I>(Shape(shown), std::span<const I>(expected));
    }
  }
  EXPECT_GT(followed, 4000);
}

TEST(View, OpenAxes) {
  const View rows = whole({View::kOpen, 6});
  const auto split = reshaped(rows, Dims{View::kOpen, 2, 3});
  ASSERT_TRUE(split);
  EXPECT_EQ(split->strides, (Dims{6, 3, 1}));
  EXPECT_EQ(split->open_axis(), 0);
  EXPECT_TRUE(reshaped(rows, Dims{1, View::kOpen, 6}));
  EXPECT_FALSE(reshaped(rows, Dims{6, View::kOpen}));  // other rows
  EXPECT_FALSE(reshaped(rows, Dims{View::kOpen, 3}));
  EXPECT_FALSE(sliced(rows, 0, 0, 1, 2));
  EXPECT_FALSE(layout_of({6, View::kOpen}));  // the stride of the first axis is not known
  EXPECT_TRUE(layout_of({1, View::kOpen, 6}));
}

TEST(View, ComparesElements) {
  const View base = whole({5, 4});
  const View second = without_axis(*sliced(base, 1, 1, 1, 1), 1);
  const View third = with_axis(without_axis(*sliced(base, 1, 2, 1, 1), 1), 0);
  EXPECT_TRUE(same_but_offset(second, third));
  EXPECT_FALSE(same_view(second, third));
  EXPECT_FALSE(same_but_offset(second, base));
  EXPECT_EQ(second.whole, kNoValue);
}

}  // namespace
}  // namespace lanner::passes::testing
