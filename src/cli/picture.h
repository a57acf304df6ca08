// Pictures: 8-bit RGB in memory, decoded from PNG and JPEG files, written as PNG files, and resized.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace lanner::cli {

using Colour = std::array<std::uint8_t, 3>;

// Rows from top to bottom, pixels from left to right, three bytes (red, green, blue) each.
class Picture {
 public:
  Picture() = default;
  // Sides are at least 1 px and their product at most kMaxPixels.
  Picture(int width, int height, Colour fill = {0, 0, 0});

  // What a decoder accepts.
  static constexpr std::int64_t kMaxPixels = std::int64_t{1} << 27;

  int width() const { return width_; }
  int height() const { return height_; }
  std::uint8_t* row(int y) { return pixels_.data() + static_cast<std::size_t>(y) * row_bytes(); }
  const std::uint8_t* row(int y) const { return pixels_.data() + static_cast<std::size_t>(y) * row_bytes(); }
  std::uint8_t* pixel(int x, int y) { return row(y) + 3 * static_cast<std::size_t>(x); }
  const std::uint8_t* pixel(int x, int y) const { return row(y) + 3 * static_cast<std::size_t>(x); }
  std::size_t row_bytes() const { return 3 * static_cast<std::size_t>(width_); }

  friend bool operator==(const Picture&, const Picture&) = default;

 private:
  int width_ = 0;
  int height_ = 0;
  std::vector<std::uint8_t> pixels_;
};

// Decodes a PNG or JPEG file; its first bytes say which it is. Palettes and grey become RGB, 16 bits per channel become
// 8, an alpha channel is dropped, and a JPEG is turned upright as its EXIF orientation says. Throws `image.decode` for
// other formats, truncated or corrupt files and more than kMaxPixels pixels.
Picture decode_picture(std::string_view bytes);

// decode_picture() of a file. Throws `file.not_found`, `file.unreadable`, or `image.decode` naming the file.
Picture read_picture(const std::filesystem::path& path);

// Throws `file.unwritable`, leaving nothing half-written.
void write_png(const std::filesystem::path& path, const Picture& picture);

// Bilinear interpolation with half-pixel centres; where the picture shrinks, the filter widens to cover every source
// pixel (antialiasing). The same bits as Pillow's Image.resize(..., BILINEAR).
Picture resize_bilinear(const Picture& picture, int width, int height);

}  // namespace lanner::cli
