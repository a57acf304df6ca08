// ColumnMap: a program of element-wise operators over the columns of tensors with as many rows, run in one pass; made
// by the compiler and no ONNX operator. column_program.h says what the attributes mean.
//
// Inputs: float32, as the layouts say; the product of the axes `r` is the same for all that have them. Outputs:
// float32, as the results say. Bit for bit what the operators give one after another (of NaN only that it is one).
//
// Rows are taken in tiles so short that all columns of a tile stay in the first-level cache. Columns that lie in memory
// as a tile needs them are read where they are; others are split off their rows into registers, and results are joined
// to rows again.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/column_loops.h"
#include "kernels/column_program.h"
#include "kernels/kernel.h"
#include "kernels/sibling_scores.h"

namespace lanner::kernels {

namespace {

// Floats of all registers of a tile.
constexpr std::size_t kRegisterFloats = 8192;

// Where an operand is while a tile is computed: a position in the table of column pointers.
using Slot = std::uint32_t;

struct PlannedStep {
  ColumnOp op;
  Slot a;
  Slot b;  // of operators with one operand, `a` again
  Slot out;
};

// An input's columns that the program reads.
struct PlannedInput {
  std::uint32_t input;
  bool has_rows;
  std::vector<std::pair<std::uint32_t, Slot>> columns;  // by number
  std::size_t first_use = 0;                            // the first step that needs them
};

// A register is memory for one column of a tile. Slots 0 .. register_of.size() - 1 are columns; those of one register
// are never needed at the same time. The rest are numbers.
struct Plan {
  std::vector<PlannedInput> inputs;
  std::vector<PlannedStep> steps;
  std::vector<std::vector<Slot>> results;
  std::vector<float> numbers;
  std::vector<std::uint32_t> register_of;
  std::uint32_t register_count = 0;

  bool is_number(Slot slot) const { return slot >= register_of.size(); }
};

// Gives slots to operands, in any order, and registers to slots, by when they are needed.
class Planner {
 public:
  explicit Planner(const ColumnProgram& program) : program_(program) {
    for (std::uint32_t i = 0; i < program.layouts.size(); ++i) inputs_.push_back({i, program.has_rows(i), {}, 0});
    // Columns first, numbers behind them.
    slot_count_ = program.steps.size();
    for_each_operand([&](const ColumnOperand& operand, std::size_t step) { find_column(operand, step); });
    column_count_ = slot_count_;
  }

  Plan plan() {
    Plan plan;
    for (std::size_t k = 0; k < program_.steps.size(); ++k) {
      const ColumnStep& step = program_.steps[k];
      const Slot a = slot_of(step.operands[0]);
      plan.steps.push_back(
          {step.op, a, step.operands.size() > 1 ? slot_of(step.operands[1]) : a, static_cast<Slot>(k)});
    }
    for (const ColumnResult& result : program_.results) {
      std::vector<Slot>& slots = plan.results.emplace_back();
      for (const ColumnOperand& operand : result.columns) slots.push_back(slot_of(operand));
    }
    plan.numbers = std::move(numbers_);
    for (PlannedInput& input : inputs_) {
      std::ranges::sort(input.columns);
      if (!input.columns.empty()) plan.inputs.push_back(std::move(input));
    }
    std::ranges::stable_sort(plan.inputs, {}, &PlannedInput::first_use);
    assign_registers(plan);
    return plan;
  }

 private:
  // Steps in order, then results as if read by a step behind the last.
  template <typename Visit>
  void for_each_operand(Visit visit) {
    for (std::size_t k = 0; k < program_.steps.size(); ++k) {
      for (const ColumnOperand& operand : program_.steps[k].operands) visit(operand, k);
    }
    for (const ColumnResult& result : program_.results) {
      for (const ColumnOperand& operand : result.columns) visit(operand, program_.steps.size());
    }
  }

  void find_column(const ColumnOperand& operand, std::size_t step) {
    const auto* column = std::get_if<InputColumn>(&operand);
    if (column == nullptr) return;
    PlannedInput& input = inputs_[column->input];
    if (input.columns.empty()) input.first_use = step;
    if (std::ranges::find(input.columns, column->column, &std::pair<std::uint32_t, Slot>::first) !=
        input.columns.end()) {
      return;
    }
    input.columns.emplace_back(column->column, static_cast<Slot>(slot_count_++));
  }

  Slot slot_of(const ColumnOperand& operand) {
    if (const auto* result = std::get_if<StepResult>(&operand)) return result->step;
    if (const auto* column = std::get_if<InputColumn>(&operand)) {
      const PlannedInput& input = inputs_[column->input];
      return std::ranges::find(input.columns, column->column, &std::pair<std::uint32_t, Slot>::first)->second;
    }
    numbers_.push_back(std::get<float>(operand));
    return static_cast<Slot>(column_count_ + numbers_.size() - 1);
  }

  void assign_registers(Plan& plan) const {
    const std::size_t end = plan.steps.size();
    std::vector<std::size_t> last_use(column_count_, 0);
    for (std::size_t k = 0; k < end; ++k) {
      last_use[k] = std::max(last_use[k], k);
      for (const Slot slot : {plan.steps[k].a, plan.steps[k].b}) {
        if (slot < column_count_) last_use[slot] = k;
      }
    }
    for (const auto& slots : plan.results) {
      for (const Slot slot : slots) {
        if (slot < column_count_) last_use[slot] = end;
      }
    }
    plan.register_of.assign(column_count_, 0);
    std::vector<std::uint32_t> free;
    const auto take = [&](Slot slot) {
      if (free.empty()) free.push_back(plan.register_count++);
      plan.register_of[slot] = free.back();
      free.pop_back();
    };
    auto input = plan.inputs.begin();
    for (std::size_t k = 0; k <= end; ++k) {
      for (; input != plan.inputs.end() && input->first_use == k; ++input) {
        for (const auto& [column, slot] : input->columns) take(slot);
      }
      if (k == end) break;
      // A step's result may take the place of an operand that is needed no longer.
      std::array<Slot, 2> operands{plan.steps[k].a, plan.steps[k].b};
      for (std::size_t i = 0; i < (operands[0] == operands[1] ? 1u : 2u); ++i) {
        if (operands[i] < column_count_ && last_use[operands[i]] == k) free.push_back(plan.register_of[operands[i]]);
      }
      take(static_cast<Slot>(k));
      if (last_use[k] == k) free.push_back(plan.register_of[k]);
    }
  }

  const ColumnProgram& program_;
  std::vector<PlannedInput> inputs_;
  std::vector<float> numbers_;
  std::size_t slot_count_ = 0;
  std::size_t column_count_ = 0;
};

// An input as a run sees it: column c of row r is data[c / inner * outer_step + c % inner + r * inner].
struct BoundInput {
  const float* data = nullptr;
  std::int64_t outer = 1;
  std::int64_t inner = 1;
};

struct BoundResult {
  float* data = nullptr;
  std::size_t outer = 1;
  std::size_t inner = 1;
};

class ColumnMap final : public Kernel {
 public:
  explicit ColumnMap(const KernelInfo& info)
      : program_(read_column_program(info.attributes, info.input_count, info.output_count)),
        plan_(Planner(program_).plan()) {
    const std::size_t most = kRegisterFloats / kColumnBlock;
    if (plan_.register_count > most) {
      base::invalid("op.attribute", "the program keeps {} columns at once, but {} is the limit", plan_.register_count,
                    most);
    }
    const std::size_t rows = kRegisterFloats / std::max(plan_.register_count, 1u) / kColumnBlock * kColumnBlock;
    tile_rows_ = static_cast<std::int64_t>(std::min(rows, kTileRows));
    for (const PlannedStep& step : plan_.steps) {
      row_cost_ += step.op == ColumnOp::kExp || step.op == ColumnOp::kSigmoid ? 8 : step.op == ColumnOp::kDiv ? 3 : 1;
    }
    row_cost_ += static_cast<std::int64_t>(plan_.register_of.size() - plan_.steps.size());
    for (const auto& slots : plan_.results) row_cost_ += static_cast<std::int64_t>(slots.size());
  }

  void run(KernelContext& context) const override {
    std::vector<BoundInput> inputs;
    const std::int64_t row_count = bind_inputs(context, inputs);
    std::vector<BoundResult> results;
    for (std::size_t k = 0; k < program_.results.size(); ++k) {
      results.push_back(bind_result(context, static_cast<int>(k), row_count));
    }
    if (row_count == 0) return;
    // About 0.1 ns an operation.
    const int threads = worthwhile_threads(context.threads(), row_count * row_cost_ / 10);
    const std::int64_t tiles = (row_count + tile_rows_ - 1) / tile_rows_;
    base::parallel_for(threads, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
      run_rows(inputs, results, row_count, begin * tile_rows_, std::min(end * tile_rows_, row_count));
    });
  }

 private:
  // Binds those the plan reads, checks all; returns the number of rows.
  std::int64_t bind_inputs(KernelContext& context, std::vector<BoundInput>& bound) const {
    std::int64_t row_count = -1;
    std::vector<std::int64_t> columns(program_.layouts.size());
    std::vector<BoundInput> all(program_.layouts.size());
    for (std::size_t i = 0; i < program_.layouts.size(); ++i) {
      const Tensor& input = context.input(static_cast<int>(i));
      const std::string& layout = program_.layouts[i];
      if (input.element_type() != ElementType::kFloat32) {
        base::invalid("op.type", "ColumnMap's input {} must be float32, but is {}", i,
                      element_type_name(input.element_type()));
      }
      if (std::cmp_not_equal(input.rank(), layout.size())) {
        base::invalid("op.rank", "ColumnMap's input {} must have rank {}, but has shape {}", i, layout.size(),
                      input.shape().to_string());
      }
      const auto begin = static_cast<int>(std::min(layout.find('r'), layout.size()));
      const auto end = static_cast<int>(layout.rfind('r') + 1);  // 0 without rows
      all[i] = {input.data<float>(), input.shape().element_count(0, begin),
                begin < end ? input.shape().element_count(end, input.rank()) : 1};
      if (begin < end) {
        const std::int64_t rows = input.shape().element_count(begin, end);
        if (row_count >= 0 && rows != row_count) {
          base::invalid("op.shape", "ColumnMap's inputs must have as many rows, but input {} has {} instead of {}", i,
                        rows, row_count);
        }
        row_count = rows;
      }
      if (__builtin_mul_overflow(all[i].outer, all[i].inner, &columns[i])) {
        base::invalid("op.size", "the columns of ColumnMap's input {} cannot be counted", i);
      }
    }
    for (const PlannedInput& planned : plan_.inputs) {
      for (const auto& [column, slot] : planned.columns) {
        if (std::cmp_greater_equal(column, columns[planned.input])) {
          base::invalid("op.shape", "ColumnMap reads column {} of input {}, which has {}", column, planned.input,
                        columns[planned.input]);
        }
      }
      bound.push_back(all[planned.input]);
    }
    return row_count;
  }

  BoundResult bind_result(KernelContext& context, int index, std::int64_t row_count) const {
    const ColumnResult& result = program_.results[static_cast<std::size_t>(index)];
    std::int64_t known = 1;
    bool open = false;
    for (const ColumnResult::Axis& axis : result.axes) {
      if (!axis.is_row) continue;
      open = open || axis.size == ColumnResult::kOpen;
      if (axis.size != ColumnResult::kOpen && __builtin_mul_overflow(known, axis.size, &known)) known = -1;
    }
    if (known < 0 || (open ? known == 0 || row_count % known != 0 : known != row_count)) {
      base::invalid("op.shape", "ColumnMap's output {} cannot have {} rows", index, row_count);
    }
    Shape shape;
    for (const ColumnResult::Axis& axis : result.axes) {
      shape.push_back(axis.size == ColumnResult::kOpen ? row_count / known : axis.size);
    }
    const auto inner = static_cast<std::size_t>(result.inner_columns());
    float* data = context.allocate_output(index, ElementType::kFloat32, shape).data<float>();
    return {data, inner == 0 ? 0 : result.columns.size() / inner, inner};
  }

  // The tiles of rows [begin, end).
  void run_rows(const std::vector<BoundInput>& inputs, const std::vector<BoundResult>& results, std::int64_t row_count,
                std::int64_t begin, std::int64_t end) const {
    alignas(64) std::array<float, kRegisterFloats> registers;
    std::fill_n(registers.data(), static_cast<std::int64_t>(plan_.register_count) * tile_rows_, 0.0f);
    std::vector<ColumnArgument> slots(plan_.register_of.size() + plan_.numbers.size());
    const auto register_at = [&](Slot slot) { return registers.data() + plan_.register_of[slot] * tile_rows_; };
    for (std::size_t k = 0; k < plan_.register_of.size(); ++k) slots[k] = {register_at(static_cast<Slot>(k)), false};
    for (std::size_t k = 0; k < plan_.numbers.size(); ++k) {
      slots[plan_.register_of.size() + k] = {&plan_.numbers[k], true};
    }
    const ColumnLoops& loops = column_loops_of_cpu().get();
    std::vector<ColumnArgument> columns;
    for (std::int64_t row = begin; row < end; row += tile_rows_) {
      const std::int64_t count = std::min(tile_rows_, end - row);
      std::size_t next = 0;
      const auto load_for = [&](std::size_t step) {
        for (; next < plan_.inputs.size() && plan_.inputs[next].first_use == step; ++next) {
          load(loops, plan_.inputs[next], inputs[next], row_count, row, count, registers.data(), slots);
        }
      };
      for (std::size_t k = 0; k < plan_.steps.size(); ++k) {
        load_for(k);
        const PlannedStep& step = plan_.steps[k];
        loops.apply(step.op, slots[step.a], slots[step.b], register_at(step.out), static_cast<std::size_t>(count));
      }
      load_for(plan_.steps.size());
      for (std::size_t k = 0; k < results.size(); ++k) {
        const BoundResult& result = results[k];
        for (std::size_t outer = 0; outer < result.outer; ++outer) {
          columns.clear();
          for (std::size_t i = 0; i < result.inner; ++i) {
            columns.push_back(slots[plan_.results[k][outer * result.inner + i]]);
          }
          const auto first = static_cast<std::size_t>(row_count) * outer + static_cast<std::size_t>(row);
          loops.join(columns.data(), result.inner, static_cast<std::size_t>(count), result.data + first * result.inner);
        }
      }
    }
  }

  // Brings an input's columns to where the steps expect them.
  void load(const ColumnLoops& loops, const PlannedInput& planned, const BoundInput& input, std::int64_t row_count,
            std::int64_t row, std::int64_t count, float* registers, std::vector<ColumnArgument>& slots) const {
    const bool splits = planned.has_rows && (input.inner == 2 || input.inner == 4);
    const bool whole_blocks = count % static_cast<std::int64_t>(kColumnBlock) == 0;
    for (auto next = planned.columns.begin(); next != planned.columns.end();) {
      const auto& [column, slot] = *next;
      if (!planned.has_rows) {
        slots[slot] = {input.data + column, true};
        ++next;
        continue;
      }
      const std::int64_t outer = column / input.inner;
      const float* rows = input.data + (outer * row_count + row) * input.inner;
      float* memory = registers + plan_.register_of[slot] * tile_rows_;
      slots[slot].data = memory;
      if (splits) {
        // With the other columns of these rows, which are next to it.
        std::array<float*, 4> columns{};
        for (; next != planned.columns.end() && next->first / input.inner == outer; ++next) {
          float* other = registers + plan_.register_of[next->second] * tile_rows_;
          slots[next->second].data = columns[static_cast<std::size_t>(next->first % input.inner)] = other;
        }
        loops.split(rows, static_cast<std::size_t>(input.inner), static_cast<std::size_t>(count), columns.data());
        continue;
      }
      if (input.inner == 1 && whole_blocks) {
        slots[slot].data = rows;
      } else {
        for (std::int64_t i = 0; i < count; ++i) memory[i] = rows[i * input.inner + column % input.inner];
      }
      ++next;
    }
  }

  ColumnProgram program_;
  Plan plan_;
  std::int64_t tile_rows_ = 0;
  std::int64_t row_cost_ = 0;  // in operations of a nanosecond's tenth
};

}  // namespace

std::unique_ptr<Kernel> make_ColumnMap(const KernelInfo& info) {
  return std::make_unique<ColumnMap>(info);
}

}  // namespace lanner::kernels
