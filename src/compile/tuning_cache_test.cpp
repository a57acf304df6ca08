#include "compile/tuning_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"

namespace lanner::compiler {
namespace {

using backends::Measurements;
using backends::TuneLevel;

class TuningCacheTest : public ::testing::Test {
 protected:
  TuningCacheTest() {
    std::string name = ::testing::TempDir() + "tuning_cache_XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~TuningCacheTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& text) const { std::ofstream(cache_file()) << text; }
  std::filesystem::path cache_file() const { return TuningCache(folder_, "one CPU").file(); }

  std::filesystem::path folder_;
};

const Measurements kOne{{"1x2 by 2x3", {{{"direct", 1.5}, {"winograd", 2}}, TuneLevel::kFast}}};
const Measurements kOther{{"4x4 by 4x4", {{{"direct", 0.25}}, TuneLevel::kFull}}};
const Measurements kBoth{*kOne.begin(), *kOther.begin()};

TEST_F(TuningCacheTest, KeepsWhatWasAddedForItsConditions) {
  const TuningCache cache(folder_ / "new", "one CPU");
  EXPECT_TRUE(cache.load().empty());
  cache.add({});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new")) << "nothing to write";
  cache.add(kOne);
  cache.add(kOther);
  EXPECT_EQ(TuningCache(folder_ / "new", "one CPU").load(), kBoth);
  EXPECT_TRUE(TuningCache(folder_ / "new", "another CPU").load().empty());

  Measurements again = kOne;
  again.begin()->second.timings[0].us = 7;
  cache.add(again);
  EXPECT_EQ(cache.load().at("1x2 by 2x3").find("direct")->us, 7) << "the last measurement counts";
}

TEST_F(TuningCacheTest, ADamagedFileCountsAsEmptyAndIsWrittenAnew) {
  const TuningCache cache(folder_, "one CPU");
  cache.add(kOne);
  const std::string good = base::read_file(cache_file());
  const std::string faults[] = {
      "",
      "no JSON",
      "[]",
      "{}",
      good.substr(0, good.size() / 2),
      R"({"conditions": "one CPU"})",
      R"({"conditions": "one CPU", "problems": {"a": 1}})",
      R"({"conditions": "one CPU", "problems": {"a": {"level": "best", "us": {}}}})",
      R"({"conditions": "one CPU", "problems": {"a": {"level": "fast", "us": {"direct": "soon"}}}})",
      R"({"conditions": "one CPU", "problems": {"a": {"level": "fast", "us": {"direct": -1}}}})",
      R"({"conditions": "one CPU", "problems": {"a": {"level": "fast", "us": {"direct": 1e999}}}})",
      R"({"conditions": "another CPU", "problems": {}})",
  };
  for (const std::string& fault : faults) {
    write(fault);
    EXPECT_TRUE(cache.load().empty()) << fault;
    cache.add(kOther);
    EXPECT_EQ(cache.load(), kOther) << fault;
  }
}

TEST_F(TuningCacheTest, ThatCannotBeWrittenIsNoError) {
  std::ofstream(folder_ / "file") << "in the way";
  const TuningCache blocked(folder_ / "file" / "folder", "one CPU");
  blocked.add(kOne);
  EXPECT_TRUE(blocked.load().empty());
  const TuningCache none({}, "one CPU");
  none.add(kOne);
  EXPECT_TRUE(none.load().empty());
}

TEST_F(TuningCacheTest, ManyWritersLoseNothing) {
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 10; ++i) {
        const TuningCache cache(folder_, "one CPU");
        cache.add({{std::to_string(writer) + " " + std::to_string(i), kOne.begin()->second}});
        EXPECT_FALSE(cache.load().empty());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(TuningCache(folder_, "one CPU").load().size(), 40U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "nothing else is left";
}

// Sets an environment variable for the test, or unsets it.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~Variable() { set(before_ ? before_->c_str() : nullptr); }

 private:
  void set(const char* value) const { value != nullptr ? ::setenv(name_, value, 1) : ::unsetenv(name_); }

  const char* name_;
  std::optional<std::string> before_;
};

TEST(CacheFolder, IsTheFirstThatIsSet) {
  const Variable home("HOME", "/home/somebody");
  const Variable xdg("XDG_CACHE_HOME", "/var/cache");
  const Variable own("LANNER_CACHE_DIR", "mine");
  EXPECT_EQ(cache_folder(), "mine/");
  const Variable no_own("LANNER_CACHE_DIR", "");
  EXPECT_EQ(cache_folder(), "/var/cache/lanner");
  const Variable relative_xdg("XDG_CACHE_HOME", "relative");
  EXPECT_EQ(cache_folder(), "/home/somebody/.cache/lanner");
  const Variable no_home("HOME", nullptr);
  EXPECT_EQ(cache_folder(), "");
}

}  // namespace
}  // namespace lanner::compiler
