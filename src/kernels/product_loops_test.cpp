#include "kernels/product_loops.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"
#include "kernels/loops_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;

TEST(PackedMatrix, AgreesWithMultiplyOnEachInstructionSet) {
  for_each_instruction_set(product_loops_of_cpu(), [] {
    for (const I rows : {1, 2, 3, 5, 12, 13, 72}) {
      for (const I columns : {1, 16, 40, 135}) {
        for (const I depth : {0, 1, 31, 700}) {
          for (const bool transposed : {false, true}) {
            const Tensor a = noise({rows, depth + 3});
            const Tensor b = noise({depth + 5, columns + 16});
            const Matrix<float> right = transposed ? Matrix<float>{b.data<float>(), 1, depth + 5}
                                                   : Matrix<float>{b.data<float>(), columns + 16, 1};
            PackedMatrix packed;
            packed.pack(depth + 5, columns + 16, right);
            std::vector<float> y(static_cast<std::size_t>(rows * (columns + 1)), 7);
            packed.multiply(rows, columns, depth, a.data<float>(), depth + 3, 2, 16, y.data(), columns + 1);
            for (I r = 0; r < rows; ++r) {
              for (I c = 0; c < columns; ++c) {
                double sum = 0;
                for (I d = 0; d < depth; ++d) {
                  sum += static_cast<double>(a.data<float>()[r * (depth + 3) + d]) *
                         static_cast<double>(right.data[(d + 2) * right.row_stride + (c + 16) * right.column_stride]);
                }
                ASSERT_NEAR(y[static_cast<std::size_t>(r * (columns + 1) + c)], sum, 2e-2);
              }
              ASSERT_EQ(y[static_cast<std::size_t>(r * (columns + 1) + columns)], 7);
            }
          }
        }
      }
    }
  });
}

TEST(Exponentiate, AgreesWithDoubleOnEachInstructionSet) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for_each_instruction_set(product_loops_of_cpu(), [] {
    for (const I count : {1, 2, 15, 16, 17, 40, 64, 135}) {
      const Tensor given = noise({count});
      std::vector<float> x(given.values<float>().begin(), given.values<float>().end());
      for (float& value : x) value *= 40;
      x[static_cast<std::size_t>(count / 2)] = 7000;  // the largest, and all others lose
      x.push_back(7);
      for (const float shift : {0.0f, 7000.0f}) {
        std::vector<float> terms = x;
        if (shift != 0) terms[static_cast<std::size_t>(count / 2)] -= shift;
        if (count > 2) terms[static_cast<std::size_t>(count - 1)] = -kInfinity;
        const std::vector<float> before = terms;
        const double largest = *std::max_element(before.begin(), before.end() - 1);
        const float sum = product_loops_of_cpu().get().exponentiate(count, terms.data());
        double expected = 0;
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
          const double power = std::exp(static_cast<double>(before[i]) - largest);
          ASSERT_NEAR(terms[i], power < std::exp(-87.0) ? 0 : power, 4e-7 * power) << i;
          expected += terms[i];
        }
        ASSERT_NEAR(sum, expected, 1e-6 * expected);
        ASSERT_EQ(terms.back(), 7);
      }
    }
  });
}

TEST(Exponentiate, HasNoNumberWhereThereIsNone) {
  for_each_instruction_set(product_loops_of_cpu(), [] {
    for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const std::size_t place : {0u, 3u, 16u, 18u}) {
        std::vector<float> x(19, -1.0f);
        x[place] = wrong;
        EXPECT_TRUE(std::isnan(product_loops_of_cpu().get().exponentiate(19, x.data()))) << place;
        EXPECT_TRUE(std::isnan(x[place]));
      }
    }
  });
}

}  // namespace
}  // namespace lanner::kernels::testing
