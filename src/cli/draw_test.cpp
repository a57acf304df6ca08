#include "cli/draw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace lanner::cli {
namespace {

constexpr Colour kRed{255, 0, 0};

int count(const Picture& picture, Colour colour) {
  int found = 0;
  for (int y = 0; y < picture.height(); ++y) {
    for (int x = 0; x < picture.width(); ++x) {
      found += std::equal(colour.begin(), colour.end(), picture.pixel(x, y)) ? 1 : 0;
    }
  }
  return found;
}

// '#' where the picture is red.
std::string art(const Picture& picture) {
  std::string text;
  for (int y = 0; y < picture.height(); ++y) {
    for (int x = 0; x < picture.width(); ++x) text += picture.pixel(x, y)[0] == 255 ? '#' : '.';
    text += '\n';
  }
  return text;
}

TEST(FillRectangle, IsCutOffAtTheBorders) {
  Picture picture(4, 3);
  fill_rectangle(picture, -5, 1, 2, 100, kRed);
  EXPECT_EQ(art(picture), "....\n##..\n##..\n");
  fill_rectangle(picture, 10, 10, 20, 20, kRed);
  fill_rectangle(picture, 3, 2, 3, 3, kRed);
  fill_rectangle(picture, 3, 3, 1, 0, kRed);
  EXPECT_EQ(count(picture, kRed), 4);
}

TEST(DrawText, LettersAreReadable) {
  Picture picture(11, 7);
  draw_text(picture, "L7", 0, 0, 1, kRed);
  EXPECT_EQ(art(picture),
            "#.....#####\n"
            "#.........#\n"
            "#........#.\n"
            "#.......#..\n"
            "#......#...\n"
            "#......#...\n"
            "#####..#...\n");
}

TEST(DrawText, PrintableCharactersAllDiffer) {
  std::set<std::string> seen;
  for (char character = ' '; character <= '~'; ++character) {
    Picture picture(5, 7);
    draw_text(picture, std::string(1, character), 0, 0, 1, kRed);
    EXPECT_TRUE(seen.insert(art(picture)).second) << character;
  }
}

TEST(DrawText, OneQuestionMarkForEachOtherCharacter) {
  EXPECT_EQ(text_width_px("a\xc3\xa9\xe2\x82\xac", 2), text_width_px("a??", 2));
  Picture accent(5, 7), question(5, 7);
  draw_text(accent, "\xc3\xa9", 0, 0, 1, kRed);
  draw_text(question, "?", 0, 0, 1, kRed);
  EXPECT_TRUE(accent == question);
}

TEST(DrawText, SizeGrowsWithTheUnit) {
  EXPECT_EQ(text_width_px("", 3), 0);
  EXPECT_EQ(text_width_px("ab", 3), 33);
  EXPECT_EQ(text_height_px(3), 21);
}

TEST(DrawBox, LineLiesInsideTheBox) {
  Picture picture(8, 8);
  draw_box(picture, {1, 1, 7, 7}, "", kRed);
  EXPECT_EQ(art(picture),
            "........\n"
            ".######.\n"
            ".######.\n"
            ".##..##.\n"
            ".##..##.\n"
            ".######.\n"
            ".######.\n"
            "........\n");
}

TEST(DrawBox, EmptyBoxesAreStillSeen) {
  Picture picture(8, 8);
  draw_box(picture, {3, 3, 3, 3}, "", kRed);
  EXPECT_EQ(count(picture, kRed), 1);
}

TEST(DrawBox, LabelStaysInThePicture) {
  // Room above; none above; none at the right.
  for (const auto& box : {std::array<float, 4>{5, 30, 40, 55}, {5, 0, 40, 55}, {70, 30, 80, 50}}) {
    Picture with(80, 60), without(80, 60);
    draw_box(with, box, "ab", kRed);
    draw_box(without, box, "", kRed);
    EXPECT_GE(count(with, kRed), count(without, kRed) + 50);
    EXPECT_GE(count(with, {255, 255, 255}), 15);  // the letters
  }
}

TEST(DrawBox, LabelsWiderThanThePictureAreCutOff) {
  Picture picture(20, 20);
  draw_box(picture, {0, 0, 20, 20}, "a name that does not fit", kRed);
  EXPECT_GT(count(picture, {255, 255, 255}), 0);
}

TEST(DistinctColour, NeighboursDiffer) {
  for (std::int64_t number = -3; number < 100; ++number) {
    EXPECT_EQ(distinct_colour(number), distinct_colour(number));
    for (std::int64_t other = number + 1; other < number + 5; ++other) {
      int difference = 0;
      for (std::size_t i = 0; i < 3; ++i) {
        difference += std::abs(distinct_colour(number)[i] - distinct_colour(other)[i]);
      }
      EXPECT_GT(difference, 60) << number << " and " << other;
    }
  }
}

}  // namespace
}  // namespace lanner::cli
