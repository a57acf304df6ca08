#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

// Single 2, 3, 5, 4; pairs 5 6, 7 8, 6 7.
tensor::Attributes pool(I least, I most, I skip, std::string mode = "TF", std::vector<float> weights = {}) {
  return attributes({{"min_gram_length", least},
                     {"max_gram_length", most},
                     {"max_skip_count", skip},
                     {"mode", std::move(mode)},
                     {"ngram_counts", std::vector<I>{0, 4}},
                     {"ngram_indexes", std::vector<I>{0, 1, 2, 3, 4, 5, 6}},
                     {"pool_int64s", std::vector<I>{2, 3, 5, 4, 5, 6, 7, 8, 6, 7}},
                     {"weights", std::move(weights)}});
}

const Tensor kRow = vec<I>({1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8});

TEST(TfIdfVectorizer, CountsGramsOfTheWantedLengths) {
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {kRow}, pool(2, 2, 0))), ElementsAre(0, 0, 0, 0, 1, 1, 1));
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 2, 0))), ElementsAre(0, 3, 1, 0, 1, 1, 1));
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 1, 9))), ElementsAre(0, 3, 1, 0, 0, 0, 0));
}

TEST(TfIdfVectorizer, SkipsAndCountsSinglesOnce) {
  // 7 . . . 6 is no pair of the pool; 7 at 5 and 8 at 11, 7 at 8 and 8 at 11 are.
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 2, 5))), ElementsAre(0, 3, 1, 0, 1, 3, 1));
  EXPECT_EQ(elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 2, INT64_MAX))),
            elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 2, 11))));
}

TEST(TfIdfVectorizer, Weighs) {
  const std::vector<float> weights = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 2, 0, "TFIDF", weights))),
              ElementsAre(0, 6, 3, 0, 5, 6, 7));
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 2, 0, "IDF", weights))),
              ElementsAre(0, 2, 3, 0, 5, 6, 7));
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {kRow}, pool(1, 2, 0, "IDF"))), ElementsAre(0, 1, 1, 0, 1, 1, 1));
}

TEST(TfIdfVectorizer, TakesRowsOfAnyKind) {
  const Tensor rows = Tensor::of<std::int32_t>({2, 2}, {7, 8, 5, 6});
  const Tensor out = run("TfIdfVectorizer", {rows}, pool(2, 2, 0), 2);
  EXPECT_EQ(out.shape(), Shape({2, 7}));
  EXPECT_THAT(elements<float>(out), ElementsAre(0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0));
  EXPECT_EQ(run("TfIdfVectorizer", {Tensor::allocate(ElementType::kInt64, {0, 3})}, pool(2, 2, 0)).shape(),
            Shape({0, 7}));
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {Tensor::allocate(ElementType::kInt64, {0})}, pool(1, 2, 0))),
              ElementsAre(0, 0, 0, 0, 0, 0, 0));
  tensor::Attributes words = pool(1, 2, 0);
  words.erase("pool_int64s");
  words.set("pool_strings", std::vector<std::string>{"a", "b"});
  words.set("ngram_counts", std::vector<I>{0});
  words.set("ngram_indexes", std::vector<I>{3, 0});
  EXPECT_THAT(elements<float>(run("TfIdfVectorizer", {vec<std::string>({"b", "a", "b", "c"})}, words)),
              ElementsAre(2, 0, 0, 1));
}

TEST(TfIdfVectorizer, RefusesPoolsThatContradictThemselves) {
  const auto verdict = [](const std::string& name, const tensor::Attribute& value) {
    tensor::Attributes given = pool(1, 2, 0);
    given.set(name, value);
    return reason_of([&] { run("TfIdfVectorizer", {kRow}, given); });
  };
  EXPECT_EQ(verdict("mode", std::string("TF")), "");
  EXPECT_EQ(verdict("mode", std::string("tf")), "op.attribute");
  EXPECT_EQ(verdict("ngram_counts", std::vector<I>{0, 3}), "op.attribute");  // 7 items are no pairs
  EXPECT_EQ(verdict("ngram_counts", std::vector<I>{0, 40}), "op.attribute");
  EXPECT_EQ(verdict("ngram_counts", std::vector<I>{-2, 4}), "op.attribute");
  EXPECT_EQ(verdict("ngram_counts", std::vector<I>{INT64_MIN, INT64_MAX}), "op.attribute");
  EXPECT_EQ(verdict("ngram_counts", std::vector<I>{4, 0}), "op.attribute");
  EXPECT_EQ(verdict("ngram_indexes", std::vector<I>{0, 1}), "op.attribute");
  EXPECT_EQ(verdict("ngram_indexes", std::vector<I>{0, 1, 2, 3, 4, 5, I{1} << 60}), "op.attribute");
  EXPECT_EQ(verdict("ngram_indexes", std::vector<I>{0, 1, 2, 3, 4, 5, -1}), "op.attribute");
  EXPECT_EQ(verdict("weights", std::vector<float>{1, 2}), "op.attribute");
  EXPECT_EQ(verdict("min_gram_length", I{3}), "op.attribute");
  EXPECT_EQ(verdict("max_skip_count", I{-1}), "op.attribute");
  EXPECT_EQ(reason_of([] { run("TfIdfVectorizer", {Tensor::scalar<I>(1)}, pool(1, 2, 0)); }), "op.rank");
  EXPECT_EQ(reason_of([] { run("TfIdfVectorizer", {vec<float>({1})}, pool(1, 2, 0)); }), "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
