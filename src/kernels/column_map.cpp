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

constexpr Slot kNoSlot = ~Slot{0};

// How a run brings columns of an input to the slots where steps expect them, before the step `first_use`.
struct Load {
  const float* data = nullptr;  // of the first row
  std::int64_t stride = 0;      // from row to row; 0 for one number
  bool splits = false;  // the columns of rows of `stride` are slots[0], slots[1], ... instead of one in slots[0]
  std::array<Slot, 4> slots{kNoSlot, kNoSlot, kNoSlot, kNoSlot};
  std::size_t first_use = 0;
};

struct BoundResult {
  float* data = nullptr;
  std::size_t outer = 1;
  std::size_t inner = 1;
};

// About how long a step takes for one row.
constexpr std::int64_t kCostsPerNs = 20;
constexpr std::int64_t cost(ColumnOp op) {
  switch (op) {
    case ColumnOp::kExp:
    case ColumnOp::kSigmoid:
      return 8;
    case ColumnOp::kDiv:
    case ColumnOp::kReciprocal:
    case ColumnOp::kSqrt:
      return 4;
    default:
      return 1;
  }
}

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
    for (const PlannedStep& step : plan_.steps) row_cost_ += cost(step.op);
    row_cost_ += static_cast<std::int64_t>(plan_.register_of.size() - plan_.steps.size());
    for (const auto& slots : plan_.results) row_cost_ += static_cast<std::int64_t>(slots.size());
  }

  void run(KernelContext& context) const override {
    std::vector<Load> loads;
    const std::int64_t row_count = bind_inputs(context, loads);
    std::vector<BoundResult> results;
    for (std::size_t k = 0; k < program_.results.size(); ++k) {
      results.push_back(bind_result(context, static_cast<int>(k), row_count));
    }
    if (row_count == 0) return;
    const int threads = worthwhile_threads(context.threads(), row_count * row_cost_ / kCostsPerNs);
    const std::int64_t tiles = (row_count + tile_rows_ - 1) / tile_rows_;
    base::parallel_for(threads, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
      run_rows(loads, results, row_count, begin * tile_rows_, std::min(end * tile_rows_, row_count));
    });
  }

 private:
  // An input as outer columns, rows, inner columns; columns alone, all outer, where it has no rows.
  struct Extents {
    std::int64_t outer;
    std::int64_t rows;
    std::int64_t inner;
  };

  Extents extents(const Tensor& input, std::size_t index) const {
    const std::string& layout = program_.layouts[index];
    if (input.element_type() != ElementType::kFloat32) {
      base::invalid("op.type", "ColumnMap's input {} must be float32, but is {}", index,
                    element_type_name(input.element_type()));
    }
    if (std::cmp_not_equal(input.rank(), layout.size())) {
      base::invalid("op.rank", "ColumnMap's input {} must have rank {}, but has shape {}", index, layout.size(),
                    input.shape().to_string());
    }
    const int rank = input.rank();
    if (!program_.has_rows(static_cast<std::uint32_t>(index))) return {input.element_count(), 1, 1};
    const auto begin = static_cast<int>(layout.find('r'));
    const auto end = static_cast<int>(layout.rfind('r')) + 1;
    return {input.shape().element_count(0, begin), input.shape().element_count(begin, end),
            input.shape().element_count(end, rank)};
  }

  // Checks all inputs, finds what the plan reads of them, and returns the number of rows.
  std::int64_t bind_inputs(KernelContext& context, std::vector<Load>& loads) const {
    std::int64_t row_count = -1;
    std::vector<Extents> all;
    for (std::size_t i = 0; i < program_.layouts.size(); ++i) {
      all.push_back(extents(context.input(static_cast<int>(i)), i));
      if (!program_.has_rows(static_cast<std::uint32_t>(i))) continue;
      if (row_count >= 0 && all[i].rows != row_count) {
        base::invalid("op.shape", "ColumnMap's inputs must have as many rows, but input {} has {} instead of {}", i,
                      all[i].rows, row_count);
      }
      row_count = all[i].rows;
    }
    for (const PlannedInput& planned : plan_.inputs) {
      const Extents& extents = all[planned.input];
      const bool splits = planned.has_rows && (extents.inner == 2 || extents.inner == 4);
      const float* data = context.input(static_cast<int>(planned.input)).data<float>();
      std::int64_t group = -1;  // the outer column that the last load splits
      for (const auto& [column, slot] : planned.columns) {
        if (extents.inner == 0 || column / extents.inner >= extents.outer) {
          base::invalid("op.shape", "ColumnMap reads column {} of input {}, which has shape {}", column, planned.input,
                        context.input(static_cast<int>(planned.input)).shape().to_string());
        }
        const std::int64_t outer = column / extents.inner;
        const std::int64_t inner = column % extents.inner;
        const float* rows = data + outer * extents.rows * extents.inner;
        if (!splits) {
          loads.push_back({rows + inner, planned.has_rows ? extents.inner : 0, false, {slot}, planned.first_use});
          continue;
        }
        if (outer != group)
          loads.push_back({rows, extents.inner, true, {kNoSlot, kNoSlot, kNoSlot, kNoSlot}, planned.first_use});
        group = outer;
        loads.back().slots[static_cast<std::size_t>(inner)] = slot;
      }
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
  void run_rows(const std::vector<Load>& loads, const std::vector<BoundResult>& results, std::int64_t row_count,
                std::int64_t begin, std::int64_t end) const {
    alignas(64) Registers registers;
    std::fill_n(registers.data(), static_cast<std::int64_t>(plan_.register_count) * tile_rows_, 0.0f);
    std::vector<ColumnArgument> slots(plan_.register_of.size() + plan_.numbers.size());
    for (std::size_t k = 0; k < plan_.register_of.size(); ++k)
      slots[k] = {register_of(registers, static_cast<Slot>(k)), false};
    for (std::size_t k = 0; k < plan_.numbers.size(); ++k) {
      slots[plan_.register_of.size() + k] = {&plan_.numbers[k], true};
    }
    const ColumnLoops& loops = column_loops_of_cpu().get();
    std::vector<ColumnArgument> columns;
    for (std::int64_t row = begin; row < end; row += tile_rows_) {
      const std::int64_t count = std::min(tile_rows_, end - row);
      auto next = loads.begin();
      const auto load_for = [&](std::size_t step) {
        for (; next != loads.end() && next->first_use == step; ++next) load(loops, *next, row, count, registers, slots);
      };
      for (std::size_t k = 0; k < plan_.steps.size(); ++k) {
        load_for(k);
        const PlannedStep& step = plan_.steps[k];
        loops.apply(step.op, slots[step.a], slots[step.b], register_of(registers, step.out),
                    static_cast<std::size_t>(count));
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

  using Registers = std::array<float, kRegisterFloats>;
  float* register_of(Registers& registers, Slot slot) const {
    return registers.data() + static_cast<std::int64_t>(plan_.register_of[slot]) * tile_rows_;
  }

  // Loads `count` rows from `row`.
  void load(const ColumnLoops& loops, const Load& load, std::int64_t row, std::int64_t count, Registers& registers,
            std::vector<ColumnArgument>& slots) const {
    const float* rows = load.data + row * load.stride;
    if (load.splits) {
      std::array<float*, 4> columns{};
      for (std::size_t k = 0; k < 4; ++k) {
        if (load.slots[k] != kNoSlot) columns[k] = register_of(registers, load.slots[k]);
      }
      return loops.split(rows, static_cast<std::size_t>(load.stride), static_cast<std::size_t>(count), columns.data());
    }
    const Slot slot = load.slots[0];
    if (load.stride == 0 || (load.stride == 1 && count % static_cast<std::int64_t>(kColumnBlock) == 0)) {
      slots[slot] = {rows, load.stride == 0};
      return;
    }
    float* memory = register_of(registers, slot);
    slots[slot].data = memory;
    for (std::int64_t i = 0; i < count; ++i) memory[i] = rows[i * load.stride];
  }

  ColumnProgram program_;
  Plan plan_;
  std::int64_t tile_rows_ = 0;
  std::int64_t row_cost_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_ColumnMap(const KernelInfo& info) {
  return std::make_unique<ColumnMap>(info);
}

}  // namespace lanner::kernels
