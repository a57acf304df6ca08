#include "cli/picture.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/fail.h"
#include "base/file.h"

// After <cstdio>: jpeglib.h uses FILE and size_t without including them.
#include <jerror.h>
#include <jpeglib.h>

namespace lanner::cli {

namespace {

[[noreturn]] void undecodable(std::string_view what) {
  base::invalid("image.decode", "{}", what);
}

Picture blank(std::string_view format, std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1 || width > Picture::kMaxPixels / height) {
    undecodable(fmt::format("the {} picture is {} x {} px, but may have at most {} pixels", format, width, height,
                            Picture::kMaxPixels));
  }
  return Picture(static_cast<int>(width), static_cast<int>(height));
}

// libpng and libjpeg report errors by a jump. Each function below that calls them sets its own jump target and holds
// nothing that would need a destructor; whoever owns memory is its caller.

constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";

struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string_view rest;
  char message[128] = "";

  PngReader() = default;
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void png_fail(png_structp png, png_const_charp message) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  std::snprintf(reader->message, sizeof(reader->message), "%s", message);
  png_longjmp(png, 1);
}

void png_ignore(png_structp, png_const_charp) {}

void png_take(png_structp png, png_bytep target, std::size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (count > reader->rest.size()) png_error(png, "the file is truncated");
  std::memcpy(target, reader->rest.data(), count);
  reader->rest.remove_prefix(count);
}

bool read_png_header(PngReader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_read_fn(reader.png, &reader, png_take);
  png_read_info(reader.png, reader.info);
  png_set_expand(reader.png);  // palettes, and grey of fewer than 8 bits
  png_set_scale_16(reader.png);
  png_set_gray_to_rgb(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  return true;
}

bool read_png_rows(PngReader& reader, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_read_image(reader.png, rows);
  png_read_end(reader.png, nullptr);
  return true;
}

Picture decode_png(std::string_view bytes) {
  PngReader reader;
  reader.rest = bytes;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, png_fail, png_ignore);
  reader.info = reader.png == nullptr ? nullptr : png_create_info_struct(reader.png);
  if (reader.info == nullptr) throw std::bad_alloc();
  const auto check = [&](bool ok) {
    if (!ok) undecodable(fmt::format("the PNG picture cannot be decoded: {}", reader.message));
  };
  check(read_png_header(reader));
  Picture picture =
      blank("PNG", png_get_image_width(reader.png, reader.info), png_get_image_height(reader.png, reader.info));
  if (png_get_rowbytes(reader.png, reader.info) != picture.row_bytes()) undecodable("the PNG picture is not RGB");
  std::vector<png_bytep> rows;
  for (int y = 0; y < picture.height(); ++y) rows.push_back(picture.row(y));
  check(read_png_rows(reader, rows.data()));
  return picture;
}

constexpr std::string_view kJpegSignature = "\xff\xd8\xff";
constexpr int kExifMarker = JPEG_APP0 + 1;

struct JpegReader {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  std::jmp_buf on_error;
  char message[JMSG_LENGTH_MAX] = "";

  JpegReader() = default;
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }
};

void jpeg_fail(j_common_ptr jpeg) {
  auto* reader = static_cast<JpegReader*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, reader->message);
  std::longjmp(reader->on_error, 1);
}

// libjpeg only warns where it fills in for missing data; harmless oddities pass.
void jpeg_note(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  const int code = jpeg->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC) {
    jpeg_fail(jpeg);
  }
}

bool read_jpeg_header(JpegReader& reader, std::string_view bytes) {
  if (setjmp(reader.on_error)) return false;
  jpeg_create_decompress(&reader.jpeg);
  jpeg_save_markers(&reader.jpeg, kExifMarker, 0xffff);
  jpeg_mem_src(&reader.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&reader.jpeg, TRUE);
  reader.jpeg.out_color_space = JCS_RGB;
  return true;
}

bool read_jpeg_rows(JpegReader& reader, Picture& picture) {
  if (setjmp(reader.on_error)) return false;
  jpeg_start_decompress(&reader.jpeg);
  while (reader.jpeg.output_scanline < reader.jpeg.output_height) {
    JSAMPROW row = picture.row(static_cast<int>(reader.jpeg.output_scanline));
    jpeg_read_scanlines(&reader.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&reader.jpeg);
  return true;
}

// The orientation tag (EXIF 2.3, 4.6.4.A) of an APP1 marker's content, 1 to 8; 1, upright, where there is none.
int exif_orientation(std::string_view app1) {
  constexpr std::string_view kPrefix{"Exif\0\0", 6};
  if (!app1.starts_with(kPrefix)) return 1;
  const std::string_view tiff = app1.substr(kPrefix.size());
  const bool little = tiff.starts_with("II");
  const auto number = [&](std::size_t at, std::size_t byte_count) -> std::optional<std::size_t> {
    if (at > tiff.size() || byte_count > tiff.size() - at) return std::nullopt;
    std::size_t value = 0;
    for (std::size_t i = 0; i < byte_count; ++i) {
      value = value << 8 | static_cast<unsigned char>(tiff[at + (little ? byte_count - 1 - i : i)]);
    }
    return value;
  };
  const auto directory = number(4, 4);
  const auto count = directory ? number(*directory, 2) : std::nullopt;
  for (std::size_t i = 0; i < count.value_or(0); ++i) {
    const std::size_t entry = *directory + 2 + 12 * i;
    if (number(entry, 2) != 0x0112) continue;
    const std::size_t orientation = number(entry + 8, 2).value_or(1);
    return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
  }
  return 1;
}

Picture turn_upright(Picture picture, int orientation) {
  if (orientation == 1) return picture;
  const bool transposed = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Picture result = transposed ? Picture(picture.height(), picture.width()) : Picture(picture.width(), picture.height());
  for (int y = 0; y < result.height(); ++y) {
    for (int x = 0; x < result.width(); ++x) {
      const int column = transposed ? y : x;
      const int row = transposed ? x : y;
      std::memcpy(result.pixel(x, y),
                  picture.pixel(from_right ? picture.width() - 1 - column : column,
                                from_bottom ? picture.height() - 1 - row : row),
                  3);
    }
  }
  return result;
}

Picture decode_jpeg(std::string_view bytes) {
  JpegReader reader;
  std::memset(&reader.jpeg, 0, sizeof(reader.jpeg));
  reader.jpeg.err = jpeg_std_error(&reader.errors);
  reader.jpeg.client_data = &reader;
  reader.errors.error_exit = jpeg_fail;
  reader.errors.emit_message = jpeg_note;
  const auto check = [&](bool ok) {
    if (!ok) undecodable(fmt::format("the JPEG picture cannot be decoded: {}", reader.message));
  };
  check(read_jpeg_header(reader, bytes));
  Picture picture = blank("JPEG", reader.jpeg.image_width, reader.jpeg.image_height);
  int orientation = 1;
  for (const auto* marker = reader.jpeg.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view app1(reinterpret_cast<const char*>(marker->data), marker->data_length);
    orientation = std::max(orientation, exif_orientation(app1));
  }
  check(read_jpeg_rows(reader, picture));  // frees the markers
  return turn_upright(std::move(picture), orientation);
}

// What one output position takes from a line of input: weights for the positions first .. first + weights.size() - 1,
// in units of 1 / 2^kWeightBits.
struct Taps {
  int first = 0;
  std::vector<std::int32_t> weights;
};

// A sum of 255 times weights that add up to 1 fits 31 bits, with one more for weights that round up.
constexpr int kWeightBits = 32 - 8 - 2;

// The triangle filter of Pillow's Resample.c.
std::vector<Taps> make_taps(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  const double support = std::max(scale, 1.0);
  std::vector<Taps> taps(static_cast<std::size_t>(to));
  std::vector<double> weights;
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int last = std::min(static_cast<int>(centre + support + 0.5), from);
    weights.clear();
    double sum = 0;
    for (int k = first; k < last; ++k) {
      weights.push_back(std::max(0.0, 1.0 - std::abs((k - centre + 0.5) * (1.0 / support))));
      sum += weights.back();
    }
    Taps& tap = taps[static_cast<std::size_t>(i)];
    tap.first = first;
    for (const double weight : weights) {
      tap.weights.push_back(static_cast<std::int32_t>(0.5 + weight / sum * (1 << kWeightBits)));
    }
  }
  return taps;
}

// The weighted sum of pixels `stride` bytes apart, for one channel.
std::uint8_t weighted(const std::uint8_t* at, std::size_t stride, const std::vector<std::int32_t>& weights) {
  std::int32_t sum = 1 << (kWeightBits - 1);
  for (const std::int32_t weight : weights) {
    sum += *at * weight;
    at += stride;
  }
  return static_cast<std::uint8_t>(std::min(sum >> kWeightBits, 255));
}

Picture resize_columns(const Picture& picture, int width) {
  const std::vector<Taps> taps = make_taps(picture.width(), width);
  Picture result(width, picture.height());
  for (int y = 0; y < result.height(); ++y) {
    for (int x = 0; x < width; ++x) {
      const auto& [first, weights] = taps[static_cast<std::size_t>(x)];
      for (int channel = 0; channel < 3; ++channel) {
        result.pixel(x, y)[channel] = weighted(picture.pixel(first, y) + channel, 3, weights);
      }
    }
  }
  return result;
}

Picture resize_rows(const Picture& picture, int height) {
  const std::vector<Taps> taps = make_taps(picture.height(), height);
  Picture result(picture.width(), height);
  for (int y = 0; y < height; ++y) {
    const auto& [first, weights] = taps[static_cast<std::size_t>(y)];
    const std::uint8_t* from = picture.row(first);
    for (std::size_t i = 0; i < result.row_bytes(); ++i) {
      result.row(y)[i] = weighted(from + i, picture.row_bytes(), weights);
    }
  }
  return result;
}

}  // namespace

Picture::Picture(int width, int height, Colour fill)
    : width_(width), height_(height), pixels_(3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height)) {
  for (std::size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = fill[i % 3];
}

Picture decode_picture(std::string_view bytes) {
  if (bytes.starts_with(kPngSignature)) return decode_png(bytes);
  if (bytes.starts_with(kJpegSignature)) return decode_jpeg(bytes);
  undecodable("it must be a PNG or JPEG picture, but its first bytes are those of neither");
}

Picture read_picture(const std::filesystem::path& path) {
  const std::string bytes = base::read_file(path);
  return base::with_context([&] { return fmt::format("while reading '{}'", path.string()); },
                            [&] { return decode_picture(bytes); });
}

void write_png(const std::filesystem::path& path, const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width());
  image.height = static_cast<png_uint_32>(picture.height());
  image.format = PNG_FORMAT_RGB;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.row(0), 0, nullptr) == 0) {
    base::fail(ErrorCode::kInternal, "image.encode", "cannot encode '{}': {}", path.string(), image.message);
  }
  base::write_file_atomically(path, std::string_view(bytes).substr(0, size));
}

Picture resize_bilinear(const Picture& picture, int width, int height) {
  Picture result = width == picture.width() ? picture : resize_columns(picture, width);
  return height == result.height() ? result : resize_rows(result, height);
}

}  // namespace lanner::cli
