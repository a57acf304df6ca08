#include "kernels/product_loops.h"

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

}  // namespace
}  // namespace lanner::kernels::testing
