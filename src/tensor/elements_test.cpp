#include "tensor/elements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace lanner::tensor {
namespace {

using ::testing::ElementsAre;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The bits of the element nearest to x and not of the other sign, found among all; of two equally near the even one.
std::uint32_t nearest(const FloatFormat& format, double x) {
  std::uint32_t best = 0;
  double distance = kInfinity;
  const bool has_negative_zero = format.specials != FloatFormat::Specials::kUnsigned;
  for (std::uint32_t bits = 0; bits < 2 * format.sign_bit(); ++bits) {
    const double y = decode_float(format, bits);
    if (!std::isfinite(y) || y * x < 0 || (y == 0 && std::signbit(y) != std::signbit(x) && has_negative_zero)) continue;
    const double d = std::fabs(x - y);
    if (d < distance || (d == distance && bits % 2 == 0)) {
      best = bits;
      distance = d;
    }
  }
  return best;
}

const FloatFormat kSmallFormats[] = {Float8E4M3FN::kFormat, Float8E4M3FNUZ::kFormat, Float8E5M2::kFormat,
                                     Float8E5M2FNUZ::kFormat, Float4E2M1::kFormat};

TEST(Elements, RoundToTheNearest) {
  std::mt19937 random(1);
  for (const FloatFormat& format : kSmallFormats) {
    const double largest = decode_float(format, format.largest());
    for (int i = 0; i < 2000; ++i) {
      const double size =
          std::ldexp(1.0 + static_cast<double>(random()) / 4294967296.0, static_cast<int>(random() % 40) - 24);
      if (size > largest) continue;
      const double x = i % 2 == 0 ? size : -size;
      EXPECT_EQ(encode_float(format, x, Overflow::kInfinity), nearest(format, x)) << x;
    }
    // Halfway between all neighbours.
    for (std::uint32_t bits = 0; bits < format.largest(); ++bits) {
      const double middle = (static_cast<double>(decode_float(format, bits)) + decode_float(format, bits + 1)) / 2;
      EXPECT_EQ(encode_float(format, middle, Overflow::kInfinity), bits + bits % 2) << middle;
    }
  }
}

TEST(Elements, ReadBackAsThemselves) {
  const auto check = [](const FloatFormat& format) {
    for (std::uint32_t bits = 0; bits < 2 * format.sign_bit(); ++bits) {
      const float x = decode_float(format, bits);
      if (std::isnan(x)) continue;
      EXPECT_EQ(encode_float(format, x, Overflow::kInfinity), bits);
    }
  };
  for (const FloatFormat& format : kSmallFormats) check(format);
  check(Float16::kFormat);
  check(Bfloat16::kFormat);
}

TEST(Elements, HaveTheLargestNumbersOfTheStandards) {
  const auto largest = [](const FloatFormat& format) { return decode_float(format, format.largest()); };
  EXPECT_EQ(largest(Float8E4M3FN::kFormat), 448);
  EXPECT_EQ(largest(Float8E4M3FNUZ::kFormat), 240);
  EXPECT_EQ(largest(Float8E5M2::kFormat), 57344);
  EXPECT_EQ(largest(Float8E5M2FNUZ::kFormat), 57344);
  EXPECT_EQ(largest(Float4E2M1::kFormat), 6);
  EXPECT_EQ(largest(Float16::kFormat), 65504);
}

TEST(Elements, FollowTheTableOfCastForWhatIsTooLarge) {
  using O = Overflow;
  const auto bits = [](const FloatFormat& format, O overflow) {
    std::vector<std::uint32_t> result;
    for (const double x : {kInfinity, -kInfinity, 1e6, -1e6, std::nan(""), -0.0}) {
      result.push_back(encode_float(format, x, overflow));
    }
    return result;
  };
  EXPECT_THAT(bits(Float8E4M3FN::kFormat, O::kSaturate), ElementsAre(0x7e, 0xfe, 0x7e, 0xfe, 0x7f, 0x80));
  EXPECT_THAT(bits(Float8E4M3FN::kFormat, O::kInfinity), ElementsAre(0x7f, 0xff, 0x7f, 0xff, 0x7f, 0x80));
  EXPECT_THAT(bits(Float8E4M3FNUZ::kFormat, O::kSaturate), ElementsAre(0x7f, 0xff, 0x7f, 0xff, 0x80, 0));
  EXPECT_THAT(bits(Float8E4M3FNUZ::kFormat, O::kInfinity), ElementsAre(0x80, 0x80, 0x80, 0x80, 0x80, 0));
  EXPECT_THAT(bits(Float8E5M2::kFormat, O::kSaturate), ElementsAre(0x7b, 0xfb, 0x7b, 0xfb, 0x7e, 0x80));
  EXPECT_THAT(bits(Float8E5M2::kFormat, O::kInfinity), ElementsAre(0x7c, 0xfc, 0x7c, 0xfc, 0x7e, 0x80));
  EXPECT_THAT(bits(Float8E5M2FNUZ::kFormat, O::kInfinity), ElementsAre(0x80, 0x80, 0x80, 0x80, 0x80, 0));
  EXPECT_THAT(bits(Float4E2M1::kFormat, O::kInfinity), ElementsAre(7, 15, 7, 15, 8, 8));
}

// The conversions without branches against the general one: around every float16 and every limit, and anywhere.
TEST(Elements, ConvertQuicklyAsInGeneral) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 65536; bits += 7) {
    Float16 half;
    half.bits = static_cast<std::uint16_t>(bits);
    const float x = half;
    EXPECT_TRUE(std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(decode_float(Float16::kFormat, bits)) ||
                (std::isnan(x) && std::isnan(decode_float(Float16::kFormat, bits))));
    if (std::isnan(x)) continue;
    const auto all = std::bit_cast<std::uint32_t>(x);
    for (const std::uint32_t near : {all - 1, all, all + 1, all + 0xfff, all + 0x1000, all + 0x1001}) {
      values.push_back(std::bit_cast<float>(near));
    }
  }
  std::mt19937 random(2);
  for (int i = 0; i < 100000; ++i) values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  for (const float x : values) {
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(Float16(x))) && std::isnan(static_cast<float>(Bfloat16(x))));
      continue;
    }
    EXPECT_EQ(Float16(x).bits, encode_float(Float16::kFormat, x, Overflow::kInfinity)) << x;
    EXPECT_EQ(Bfloat16(x).bits, encode_float(Bfloat16::kFormat, x, Overflow::kInfinity)) << x;
  }
}

TEST(Elements, RoundDoublesOnce) {
  // Just above the middle of two float16 neighbours, by less than float32 can tell.
  const double x = 1 + 0x1p-11 + 0x1p-40;
  EXPECT_EQ(static_cast<float>(Float16(x)), 1 + 0x1p-10f);
  EXPECT_EQ(static_cast<float>(Float16(static_cast<float>(x))), 1);
}

TEST(Elements, KeepLowBitsOfIntegers) {
  EXPECT_EQ(static_cast<int>(Int4(-1)), -1);
  EXPECT_EQ(static_cast<int>(Int4(8)), -8);
  EXPECT_EQ(Int4(-1).bits, 15);
  EXPECT_EQ(static_cast<int>(Uint4(-1)), 15);
  EXPECT_EQ(static_cast<int>(Int2(2)), -2);
  EXPECT_EQ(static_cast<int>(Uint2(7)), 3);
  Int4 odd;
  odd.bits = 0xf7;  // high bits are not read
  EXPECT_EQ(static_cast<int>(odd), 7);
}

TEST(Elements, ArePowersOfTwo) {
  using Round = Float8E8M0::Round;
  const auto bits = [](double x, Round round, Overflow overflow) { return Float8E8M0::from(x, round, overflow).bits; };
  EXPECT_EQ(bits(1, Round::kUp, Overflow::kSaturate), 127);
  EXPECT_EQ(bits(1.1, Round::kUp, Overflow::kSaturate), 128);
  EXPECT_EQ(bits(1.9, Round::kDown, Overflow::kSaturate), 127);
  EXPECT_EQ(bits(1.4, Round::kNearest, Overflow::kSaturate), 127);
  EXPECT_EQ(bits(1.6, Round::kNearest, Overflow::kSaturate), 128);
  EXPECT_EQ(bits(0, Round::kUp, Overflow::kSaturate), 0);
  EXPECT_EQ(bits(0, Round::kNearest, Overflow::kInfinity), 255);
  EXPECT_EQ(bits(kInfinity, Round::kUp, Overflow::kSaturate), 254);
  EXPECT_EQ(bits(kInfinity, Round::kNearest, Overflow::kInfinity), 255);
  EXPECT_EQ(bits(std::nan(""), Round::kUp, Overflow::kSaturate), 255);
  EXPECT_EQ(bits(0x1p-127, Round::kDown, Overflow::kInfinity), 0);
  EXPECT_EQ(bits(0x1p127, Round::kDown, Overflow::kInfinity), 254);
  for (int i = 0; i < 255; ++i) {
    Float8E8M0 element;
    element.bits = static_cast<std::uint8_t>(i);
    EXPECT_EQ(static_cast<float>(element), std::ldexp(1.0f, i - 127));
    EXPECT_EQ(Float8E8M0(static_cast<float>(element)).bits, i);
  }
}

}  // namespace
}  // namespace lanner::tensor
