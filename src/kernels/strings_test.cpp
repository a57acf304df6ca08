#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Words = std::vector<std::string>;
using ::testing::ElementsAre;

Tensor words(std::initializer_list<std::string> values) {
  return vec<std::string>(values);
}

TEST(StringConcat, JoinsPairsWithBroadcasting) {
  const Tensor out = run("StringConcat", {Tensor::of<std::string>({2, 1}, {"a", "é"}), words({"x", ""})});
  EXPECT_EQ(out.shape(), Shape({2, 2}));
  EXPECT_THAT(elements<std::string>(out), ElementsAre("ax", "a", "éx", "é"));
  EXPECT_EQ(run("StringConcat", {words({}), words({})}).shape(), Shape({0}));
  EXPECT_EQ(reason_of([] { run("StringConcat", {words({"a"}), vec<float>({1})}); }), "op.type");
  EXPECT_EQ(reason_of([] { run("StringConcat", {words({"a", "b"}), words({"a", "b", "c"})}); }), "op.shape");
}

struct Pieces {
  Shape shape;
  Words words;
  std::vector<I> counts;
};

Pieces split(const Tensor& input, const tensor::Attributes& given) {
  const auto outputs = run_operator("StringSplit", given, std::vector{input}, 2);
  return {outputs[0].tensor().shape(), elements<std::string>(outputs[0].tensor()), elements<I>(outputs[1].tensor())};
}

TEST(StringSplit, CutsAtADelimiter) {
  const Pieces pieces = split(words({"a--b", "c", "", "--"}), attributes({{"delimiter", std::string("--")}}));
  EXPECT_EQ(pieces.shape, Shape({4, 2}));
  EXPECT_THAT(pieces.words, ElementsAre("a", "b", "c", "", "", "", "", ""));
  EXPECT_THAT(pieces.counts, ElementsAre(2, 1, 1, 2));
}

TEST(StringSplit, CutsAtRunsOfWhiteSpace) {
  for (const tensor::Attributes& given : {attributes({}), attributes({{"delimiter", std::string()}})}) {
    const Pieces pieces = split(words({"  one \t two\n", " ", ""}), given);
    EXPECT_EQ(pieces.shape, Shape({3, 2}));
    EXPECT_THAT(pieces.words, ElementsAre("one", "two", "", "", "", ""));
    EXPECT_THAT(pieces.counts, ElementsAre(2, 0, 0));
  }
}

TEST(StringSplit, KeepsTheRestAfterTheLastCut) {
  const std::string dash = "-";
  EXPECT_THAT(split(words({"a-b-c"}), attributes({{"delimiter", dash}, {"maxsplit", I{1}}})).words,
              ElementsAre("a", "b-c"));
  EXPECT_THAT(split(words({"a-b"}), attributes({{"delimiter", dash}, {"maxsplit", I{0}}})).words, ElementsAre("a-b"));
  EXPECT_THAT(split(words({" a  b c "}), attributes({{"maxsplit", I{1}}})).words, ElementsAre("a", "b c "));
  const Pieces none = split(Tensor::allocate(ElementType::kString, {0, 3}), attributes({}));
  EXPECT_EQ(none.shape, Shape({0, 3, 0}));
}

tensor::Attributes normalizing(const std::string& change, bool sensitive, Words stop_words) {
  return attributes({{"case_change_action", change},
                     {"is_case_sensitive", I{sensitive ? 1 : 0}},
                     {"stopwords", std::move(stop_words)}});
}

TEST(StringNormalizer, TakesOutStopWordsAndChangesCase) {
  const Tensor days = words({"Monday", "tuesday", "MONDAY"});
  const auto normal = [&](const tensor::Attributes& given) {
    return elements<std::string>(run("StringNormalizer", {days}, given));
  };
  EXPECT_THAT(normal(normalizing("NONE", true, {"Monday"})), ElementsAre("tuesday", "MONDAY"));
  EXPECT_THAT(normal(normalizing("UPPER", false, {"monday"})), ElementsAre("TUESDAY"));
  EXPECT_THAT(normal(normalizing("LOWER", true, {})), ElementsAre("monday", "tuesday", "monday"));
  EXPECT_THAT(normal(normalizing("LOWER", false, {"MONDAY", "Tuesday"})), ElementsAre(""));
  EXPECT_THAT(normal(attributes({})), ElementsAre("Monday", "tuesday", "MONDAY"));
}

TEST(StringNormalizer, KnowsUnicodeAndLeavesWhatIsNone) {
  const Tensor in = words({"Straße ÉCOLE Ωμέγα 𐐀", "caf\xe9 \xf0\x9f", "\xff"});
  EXPECT_THAT(elements<std::string>(run("StringNormalizer", {in}, normalizing("LOWER", true, {}))),
              ElementsAre("straße école ωμέγα 𐐨", "caf\xe9 \xf0\x9f", "\xff"));
  EXPECT_THAT(elements<std::string>(run("StringNormalizer", {words({"éa"})}, normalizing("UPPER", true, {}))),
              ElementsAre("ÉA"));
}

TEST(StringNormalizer, TakesOneRow) {
  const Tensor row = Tensor::of<std::string>({1, 2}, {"a", "b"});
  EXPECT_EQ(run("StringNormalizer", {row}, normalizing("NONE", true, {"a"})).shape(), Shape({1, 1}));
  EXPECT_EQ(run("StringNormalizer", {row}, normalizing("NONE", true, {"a", "b"})).shape(), Shape({1, 1}));
  EXPECT_EQ(run("StringNormalizer", {words({})}).shape(), Shape({1}));
  EXPECT_EQ(reason_of([] { run("StringNormalizer", {Tensor::of<std::string>({2, 1}, {"a", "b"})}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("StringNormalizer", {Tensor::scalar<std::string>("a")}); }), "op.shape");
  EXPECT_EQ(reason_of([] { run("StringNormalizer", {words({"a"})}, normalizing("TITLE", true, {})); }), "op.attribute");
}

std::vector<bool> matches(const std::string& pattern, const Tensor& texts) {
  return elements<bool>(run("RegexFullMatch", {texts}, attributes({{"pattern", pattern}})));
}

TEST(RegexFullMatch, MatchesWholeElements) {
  EXPECT_THAT(matches(R"(www\.[\w.-]+\.\bcom\b)", words({"www.google.com", "www.facebook.com", "www.bbc.co.uk"})),
              ElementsAre(true, true, false));
  EXPECT_THAT(matches("a|ab", words({"ab", "a", "abc"})), ElementsAre(true, true, false));
  EXPECT_THAT(matches("", words({"", "a"})), ElementsAre(true, false));
  EXPECT_THAT(matches("ä.", words({"äö", "äöü"})), ElementsAre(true, false));
  EXPECT_EQ(reason_of([] { matches("(", words({"a"})); }), "op.attribute");
  EXPECT_EQ(reason_of([] { matches(R"((a)\1)", words({"a"})); }), "op.attribute");
  EXPECT_EQ(reason_of([] { matches("((((a{1000}){1000}){1000}){1000})", words({"a"})); }), "op.attribute");
}

TEST(RegexFullMatch, TakesLinearTime) {
  std::string text(100'000, 'a');
  text += "!";
  EXPECT_THAT(matches("(a|a)*|(a*)*b", words({text})), ElementsAre(false));
}

}  // namespace
}  // namespace lanner::kernels::testing
