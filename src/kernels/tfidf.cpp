// TfIdfVectorizer: how often n-grams of a pool occur in each row, weighted. An n-gram's items may be up to
// max_skip_count items apart, by the same distance each; single items are counted once.
#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

namespace {

// Columns of the output are named by the model, which may name any; a row has so many at most.
constexpr std::int64_t kMostColumns = std::int64_t{1} << 24;
constexpr std::size_t kNoGram = static_cast<std::size_t>(-1);

// The n-grams of the pool as a tree: each item leads from a node to the next.
template <typename Item>
class GramTree {
 public:
  void add(std::span<const Item> items, std::size_t gram) {
    std::size_t node = 0;
    for (const Item& item : items) {
      const auto [at, is_new] = nodes_[node].next.try_emplace(item, nodes_.size());
      node = at->second;
      if (is_new) nodes_.emplace_back();
    }
    nodes_[node].gram = gram;
  }

  // Calls found(gram) for every n-gram of at least `least` items that begins at row[begin] and goes on `step` by
  // `step`.
  template <typename Found>
  void find(std::span<const Item> row, std::size_t begin, std::size_t step, std::size_t least,
            const Found& found) const {
    std::size_t node = 0;
    std::size_t length = 0;
    for (std::size_t at = begin; at < row.size(); at += step) {
      const auto next = nodes_[node].next.find(row[at]);
      if (next == nodes_[node].next.end()) return;
      node = next->second;
      if (++length >= least && nodes_[node].gram != kNoGram) found(nodes_[node].gram);
      if (row.size() - at <= step) return;
    }
  }

 private:
  struct Node {
    std::unordered_map<Item, std::size_t> next;
    std::size_t gram = kNoGram;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
};

enum class Weighting { kCount, kPresence, kProduct };

struct Vectorizer {
  explicit Vectorizer(const tensor::Attributes& attributes) {
    min_length = attributes.require_int("min_gram_length");
    max_length = attributes.require_int("max_gram_length");
    max_skip = attributes.require_int("max_skip_count");
    if (min_length < 1 || max_length < min_length || max_skip < 0) {
      base::invalid("op.attribute", "n-grams of {} to {} items with up to {} skipped make no sense", min_length,
                    max_length, max_skip);
    }
    const std::string mode = attributes.get_string("mode", "");
    if (mode != "TF" && mode != "IDF" && mode != "TFIDF") {
      base::invalid("op.attribute", "mode must be TF, IDF or TFIDF, but is '{}'", mode);
    }
    weighting = mode == "TF" ? Weighting::kCount : mode == "IDF" ? Weighting::kPresence : Weighting::kProduct;
    columns = attributes.get_ints("ngram_indexes");
    for (const std::int64_t column : columns) {
      if (column < 0 || column >= kMostColumns) {
        base::invalid("op.attribute", "an n-gram's index must be in [0, {}), but is {}", kMostColumns, column);
      }
      column_count = std::max(column_count, column + 1);
    }
    weights = attributes.get_floats("weights");
    if (!weights.empty() && weights.size() != columns.size()) {
      base::invalid("op.attribute", "there are {} weights for {} n-grams", weights.size(), columns.size());
    }
    const std::vector<std::string> words = attributes.get_strings("pool_strings");
    if (words.empty())
      add_pool(attributes, attributes.get_ints("pool_int64s"), numbers);
    else
      add_pool(attributes, words, strings);
  }

  // ngram_counts[n - 1] is where the n-grams of n items begin in the pool.
  template <typename Item>
  void add_pool(const tensor::Attributes& attributes, const std::vector<Item>& pool, GramTree<Item>& tree) {
    const std::vector<std::int64_t> starts = attributes.get_ints("ngram_counts");
    std::size_t gram = 0;
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const auto size = static_cast<std::int64_t>(pool.size());
      const std::int64_t end = i + 1 < starts.size() ? starts[i + 1] : size;
      const auto length = static_cast<std::int64_t>(i) + 1;
      if (starts[i] < 0 || end < starts[i] || end > size || (end - starts[i]) % length != 0) {
        base::invalid("op.attribute", "n-grams of {} items cannot be items {} to {} of a pool of {}", length, starts[i],
                      end, size);
      }
      for (std::int64_t at = starts[i]; at < end; at += length, ++gram) {
        if (gram >= columns.size()) base::invalid("op.attribute", "not every n-gram of the pool has an index");
        if (length < min_length || length > max_length) continue;
        tree.add(std::span(pool).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(length)), gram);
      }
    }
  }

  template <typename Item>
  void count(const GramTree<Item>& tree, std::span<const Item> row, std::span<float> out) const {
    std::ranges::fill(out, 0.0f);
    const auto found = [&](std::size_t gram) {
      const float weight = weights.empty() ? 1.0f : weights[gram];
      float& value = out[static_cast<std::size_t>(columns[gram])];
      switch (weighting) {
        case Weighting::kCount:
          value += 1;
          break;
        case Weighting::kPresence:
          value = weight;
          break;
        case Weighting::kProduct:
          value += weight;
          break;
      }
    };
    auto least = static_cast<std::size_t>(min_length);
    // A distance of the row's length or more leaves single items alone.
    const auto steps = std::max<std::size_t>(1, std::min(static_cast<std::size_t>(max_skip) + 1, row.size()));
    for (std::size_t step = 1; step <= steps; ++step) {
      for (std::size_t begin = 0; begin < row.size(); ++begin) tree.find(row, begin, step, least, found);
      if (least == 1 && ++least > static_cast<std::size_t>(max_length)) return;
    }
  }

  std::int64_t min_length = 1;
  std::int64_t max_length = 1;
  std::int64_t max_skip = 0;
  Weighting weighting = Weighting::kCount;
  std::vector<std::int64_t> columns;  // of each n-gram
  std::int64_t column_count = 0;
  std::vector<float> weights;  // of each n-gram; empty: all 1
  GramTree<std::int64_t> numbers;
  GramTree<std::string> strings;
};

template <typename Item>
void run_rows(KernelContext& context, const Vectorizer& vectorizer, const GramTree<Item>& tree,
              std::span<const Item> items, std::int64_t rows) {
  const Shape& shape = context.input(0).shape();
  Tensor& out = context.allocate_output(
      0, ElementType::kFloat32,
      shape.rank() == 2 ? Shape{rows, vectorizer.column_count} : Shape{vectorizer.column_count});
  const std::int64_t length = rows == 0 ? 0 : static_cast<std::int64_t>(items.size()) / rows;
  base::parallel_for(context.threads(), rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      vectorizer.count(tree, items.subspan(static_cast<std::size_t>(row * length), static_cast<std::size_t>(length)),
                       out.values<float>().subspan(static_cast<std::size_t>(row * vectorizer.column_count),
                                                   static_cast<std::size_t>(vectorizer.column_count)));
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_TfIdfVectorizer(const KernelInfo& info) {
  const auto vectorizer = std::make_shared<const Vectorizer>(info.attributes);
  return make_kernel([vectorizer](KernelContext& context) {
    const Tensor& input = context.input(0);
    if (input.rank() != 1 && input.rank() != 2) {
      base::invalid("op.rank", "the input must have rank 1 or 2, but has {}", input.rank());
    }
    const std::int64_t rows = input.rank() == 2 ? input.shape()[0] : 1;
    if (input.element_type() == ElementType::kString) {
      return run_rows<std::string>(context, *vectorizer, vectorizer->strings, input.values<std::string>(), rows);
    }
    if (input.element_type() == ElementType::kInt64) {
      return run_rows<std::int64_t>(context, *vectorizer, vectorizer->numbers, input.values<std::int64_t>(), rows);
    }
    if (input.element_type() != ElementType::kInt32) {
      base::fail(ErrorCode::kUnimplemented, "op.type", "TfIdfVectorizer does not support element type {}",
                 element_type_name(input.element_type()));
    }
    const auto narrow = input.values<std::int32_t>();
    const std::vector<std::int64_t> wide(narrow.begin(), narrow.end());
    run_rows<std::int64_t>(context, *vectorizer, vectorizer->numbers, wide, rows);
  });
}

}  // namespace lanner::kernels
