#include "cli/picture.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "lanner/error.h"

// After <cstdio>: jpeglib.h uses FILE and size_t without including them.
#include <jpeglib.h>

namespace lanner::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct File {
  explicit File(const std::string& name)
      : path(std::filesystem::path(::testing::TempDir()) / fmt::format("lanner_picture_{}_{}", ::getpid(), name)) {}
  ~File() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

// Every pixel differs from its neighbours, the channels from each other.
Picture gradient(int width, int height) {
  Picture picture(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      picture.pixel(x, y)[0] = static_cast<std::uint8_t>(255 * x / std::max(width - 1, 1));
      picture.pixel(x, y)[1] = static_cast<std::uint8_t>(255 * y / std::max(height - 1, 1));
      picture.pixel(x, y)[2] = static_cast<std::uint8_t>(7 * x + 13 * y);
    }
  }
  return picture;
}

std::string encode_png(png_uint_32 format, int width, int height, const void* pixels, const void* palette = nullptr,
                       png_uint_32 palette_size = 0) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = format;
  image.colormap_entries = palette_size;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = bytes.size();
  EXPECT_NE(png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels, 0, palette), 0) << image.message;
  bytes.resize(size);
  return bytes;
}

std::string encode_jpeg(const Picture& picture, bool progressive = false, int orientation = 0) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &buffer, &size);
  jpeg.image_width = static_cast<JDIMENSION>(picture.width());
  jpeg.image_height = static_cast<JDIMENSION>(picture.height());
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 95, TRUE);
  if (progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  if (orientation != 0) {
    // Big-endian TIFF with one directory of one entry: the orientation, a SHORT.
    std::string exif("Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 25);
    exif += static_cast<char>(orientation);
    exif += std::string(6, '\0');
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  }
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(picture.row(static_cast<int>(jpeg.next_scanline)));
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::string bytes(reinterpret_cast<const char*>(buffer), size);
  jpeg_destroy_compress(&jpeg);
  std::free(buffer);
  return bytes;
}

// The message of the `image.decode` error; "" when there is none.
std::string decode_error(std::string_view bytes) {
  try {
    decode_picture(bytes);
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "image.decode");
    return error.message();
  }
  return "";
}

std::vector<int> pixel(const Picture& picture, int x, int y) {
  return {picture.pixel(x, y)[0], picture.pixel(x, y)[1], picture.pixel(x, y)[2]};
}

int largest_difference(const Picture& a, const Picture& b) {
  int largest = 0;
  for (int y = 0; y < a.height(); ++y) {
    for (std::size_t i = 0; i < a.row_bytes(); ++i) largest = std::max(largest, std::abs(a.row(y)[i] - b.row(y)[i]));
  }
  return largest;
}

TEST(Png, RoundTrip) {
  const File file("round.png");
  for (const auto& [width, height] : {std::pair(1, 1), {37, 21}, {1, 50}, {200, 3}}) {
    const Picture picture = gradient(width, height);
    write_png(file.path, picture);
    EXPECT_TRUE(read_picture(file.path) == picture) << width << " x " << height;
  }
}

TEST(Png, OtherPixelFormatsBecomeRgb) {
  const std::uint8_t grey[] = {0, 100, 255, 7};
  const Picture from_grey = decode_picture(encode_png(PNG_FORMAT_GRAY, 2, 2, grey));
  EXPECT_THAT(pixel(from_grey, 1, 0), ElementsAre(100, 100, 100));
  EXPECT_THAT(pixel(from_grey, 1, 1), ElementsAre(7, 7, 7));

  // The colour under a transparent pixel stays, as in Pillow's convert("RGB").
  const std::uint8_t rgba[] = {10, 20, 30, 0, 40, 50, 60, 128};
  const Picture from_rgba = decode_picture(encode_png(PNG_FORMAT_RGBA, 2, 1, rgba));
  EXPECT_THAT(pixel(from_rgba, 0, 0), ElementsAre(10, 20, 30));
  EXPECT_THAT(pixel(from_rgba, 1, 0), ElementsAre(40, 50, 60));

  const std::uint8_t palette[] = {255, 0, 0, 0, 128, 255};
  const std::uint8_t indices[] = {1, 0, 1};
  const Picture from_palette = decode_picture(encode_png(PNG_FORMAT_RGB_COLORMAP, 3, 1, indices, palette, 2));
  EXPECT_THAT(pixel(from_palette, 0, 0), ElementsAre(0, 128, 255));
  EXPECT_THAT(pixel(from_palette, 1, 0), ElementsAre(255, 0, 0));

  // 16 bits per channel are scaled, not cut off.
  const std::uint16_t deep[] = {0, 0x8080, 0xffff};
  const Picture from_deep = decode_picture(encode_png(PNG_FORMAT_LINEAR_RGB, 1, 1, deep));
  EXPECT_THAT(pixel(from_deep, 0, 0), ElementsAre(0, 0x80, 0xff));
}

TEST(Png, RefusesTruncatedFilesOfEveryLength) {
  const Picture picture = gradient(20, 15);
  const std::string bytes = encode_png(PNG_FORMAT_RGB, 20, 15, picture.row(0));
  EXPECT_EQ(decode_error(bytes), "");
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(decode_error(bytes.substr(0, size)), "") << size;
}

TEST(Png, RefusesFlippedBitsInCriticalChunks) {
  const Picture picture = gradient(20, 15);
  const std::string bytes = encode_png(PNG_FORMAT_RGB, 20, 15, picture.row(0));
  for (const std::string_view chunk : {"IHDR", "IDAT"}) {
    std::string flipped = bytes;
    flipped[bytes.find(chunk) + 6] ^= 0x10;
    EXPECT_THAT(decode_error(flipped), HasSubstr("PNG")) << chunk;
  }
}

TEST(Png, RefusesAbsurdSizesBeforeAllocating) {
  // A header of 60,000 x 60,000 px in front of nothing.
  std::string bytes = encode_png(PNG_FORMAT_RGB, 1, 1, "abc");
  const std::size_t header = bytes.find("IHDR");
  for (const std::size_t at : {header + 4, header + 8}) bytes.replace(at, 4, std::string("\x00\x00\xea\x60", 4));
  uLong checksum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + header), 17);
  for (std::size_t i = 0; i < 4; ++i) bytes[header + 17 + i] = static_cast<char>(checksum >> (24 - 8 * i));
  EXPECT_THAT(decode_error(bytes), HasSubstr("60000 x 60000 px"));
}

TEST(Jpeg, DecodesBaselineAndProgressive) {
  const Picture picture = gradient(64, 48);
  Picture smooth = picture;
  for (int y = 0; y < 48; ++y) {
    for (int x = 0; x < 64; ++x) smooth.pixel(x, y)[2] = 90;
  }
  for (const bool progressive : {false, true}) {
    const Picture decoded = decode_picture(encode_jpeg(smooth, progressive));
    ASSERT_EQ(decoded.width(), 64);
    ASSERT_EQ(decoded.height(), 48);
    EXPECT_LT(largest_difference(decoded, smooth), 12);
  }
}

TEST(Jpeg, RefusesTruncatedFilesOfEveryLength) {
  for (const bool progressive : {false, true}) {
    const std::string bytes = encode_jpeg(gradient(40, 30), progressive);
    EXPECT_EQ(decode_error(bytes), "");
    for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(decode_error(bytes.substr(0, size)), "") << size;
  }
}

TEST(Jpeg, RefusesAbsurdSizes) {
  std::string bytes = encode_jpeg(gradient(8, 8));
  const std::size_t frame = bytes.find("\xff\xc0");
  bytes.replace(frame + 5, 4, "\xea\x60\xea\x60");
  EXPECT_THAT(decode_error(bytes), HasSubstr("60000 x 60000 px"));
}

TEST(Jpeg, IsTurnedUpright) {
  // Quarters of four colours: where does the top left one go?
  Picture picture(32, 16, {230, 230, 230});
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 16; ++x) picture.pixel(x, y)[0] = picture.pixel(x, y)[1] = picture.pixel(x, y)[2] = 20;
  }
  struct Case {
    int orientation;
    bool turned, right, bottom;
  };
  for (const auto& [orientation, turned, right, bottom] : {Case{1, false, false, false},
                                                           {2, false, true, false},
                                                           {3, false, true, true},
                                                           {4, false, false, true},
                                                           {5, true, false, false},
                                                           {6, true, true, false},
                                                           {7, true, true, true},
                                                           {8, true, false, true}}) {
    const Picture upright = decode_picture(encode_jpeg(picture, false, orientation));
    ASSERT_EQ(upright.width(), turned ? 16 : 32) << orientation;
    ASSERT_EQ(upright.height(), turned ? 32 : 16) << orientation;
    for (const bool at_right : {false, true}) {
      for (const bool at_bottom : {false, true}) {
        const int x = upright.width() * (at_right ? 3 : 1) / 4;
        const int y = upright.height() * (at_bottom ? 3 : 1) / 4;
        EXPECT_EQ(pixel(upright, x, y)[0] < 128, at_right == right && at_bottom == bottom) << orientation;
      }
    }
  }
}

TEST(Jpeg, OddExifIsIgnored) {
  const std::string bytes = encode_jpeg(gradient(16, 8), false, 6);
  const std::size_t tiff = bytes.find("MM");
  for (std::size_t at = tiff; at < tiff + 26; ++at) {
    std::string odd = bytes;
    odd[at] = '\xff';
    EXPECT_EQ(decode_error(odd), "") << at - tiff;
  }
}

TEST(Picture, RefusesOtherFormats) {
  EXPECT_THAT(decode_error(""), HasSubstr("PNG or JPEG"));
  EXPECT_THAT(decode_error("GIF89a\x01\x00\x01"), HasSubstr("PNG or JPEG"));
  EXPECT_THAT(decode_error("\x89PNG"), HasSubstr("PNG or JPEG"));
}

TEST(Picture, FormatIsDecidedByContent) {
  const File file("really_a_jpeg.png");
  std::ofstream(file.path, std::ios::binary) << encode_jpeg(gradient(16, 8));
  EXPECT_EQ(read_picture(file.path).width(), 16);
}

TEST(Picture, ErrorNamesTheFile) {
  const File file("notes.png");
  std::ofstream(file.path) << "not a picture";
  try {
    read_picture(file.path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "image.decode");
    EXPECT_THAT(error.what(), HasSubstr(file.path.string()));
  }
}

TEST(Picture, UnwritablePath) {
  try {
    write_png("/nonexistent_folder/x.png", gradient(2, 2));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "file.unwritable");
  }
}

// The red channel of the rows of a picture that is grey.
std::vector<int> line(const Picture& picture) {
  std::vector<int> values;
  for (int y = 0; y < picture.height(); ++y) {
    for (int x = 0; x < picture.width(); ++x) values.push_back(picture.pixel(x, y)[0]);
  }
  return values;
}

Picture grey_line(const std::vector<int>& values) {
  Picture picture(static_cast<int>(values.size()), 1);
  for (std::size_t x = 0; x < values.size(); ++x) {
    std::fill_n(picture.pixel(static_cast<int>(x), 0), 3, static_cast<std::uint8_t>(values[x]));
  }
  return picture;
}

TEST(ResizeBilinear, InterpolatesBetweenCentresWhenGrowing) {
  // Output centres lie at -0.25, 0.25, 0.75 and 1.25 source px from the first centre.
  EXPECT_THAT(line(resize_bilinear(grey_line({0, 200}), 4, 1)), ElementsAre(0, 50, 150, 200));
  EXPECT_THAT(line(resize_bilinear(grey_line({9}), 3, 2)), ElementsAre(9, 9, 9, 9, 9, 9));
}

TEST(ResizeBilinear, AveragesWhenShrinking) {
  // Halving spreads each triangle over four px with the weights 1 3 3 1; at the border what is left counts: 3 3 1.
  EXPECT_THAT(line(resize_bilinear(grey_line({0, 0, 70, 70}), 2, 1)), ElementsAre(10, 60));
  EXPECT_THAT(line(resize_bilinear(grey_line({0, 255, 0, 255, 0, 255, 0, 255}), 1, 1)), ElementsAre(128));
}

TEST(ResizeBilinear, SameSizeChangesNothing) {
  const Picture picture = gradient(31, 17);
  EXPECT_TRUE(resize_bilinear(picture, 31, 17) == picture);
}

TEST(ResizeBilinear, ConstantStaysConstant) {
  const Picture picture(50, 40, {255, 1, 77});
  for (const auto& [width, height] : {std::pair(7, 3), {99, 81}, {50, 1}, {1, 40}}) {
    EXPECT_TRUE(resize_bilinear(picture, width, height) == Picture(width, height, {255, 1, 77}));
  }
}

// FNV-1a of all channels.
std::uint32_t checksum(const Picture& picture) {
  std::uint32_t hash = 2166136261;
  for (int y = 0; y < picture.height(); ++y) {
    for (std::size_t i = 0; i < picture.row_bytes(); ++i) hash = (hash ^ picture.row(y)[i]) * 16777619;
  }
  return hash;
}

TEST(ResizeBilinear, SameBitsAsPillow) {
  // Of gradient(61, 43) resized with Image.resize(size, Image.Resampling.BILINEAR), Pillow 13.0.
  const Picture picture = gradient(61, 43);
  EXPECT_EQ(checksum(resize_bilinear(picture, 20, 30)), 4073981473U);
  EXPECT_EQ(checksum(resize_bilinear(picture, 100, 90)), 4273374386U);
  EXPECT_EQ(checksum(resize_bilinear(picture, 7, 80)), 1779551075U);
}

}  // namespace
}  // namespace lanner::cli
