#include "cli/npz.h"

#include <zip.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/fail.h"
#include "base/file.h"

namespace lanner::cli {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

struct TypeRow {
  ElementType type;
  std::string_view descr;  // NumPy's array-protocol type string
};

constexpr TypeRow kTypes[] = {
    {ElementType::kBool, "|b1"},    {ElementType::kInt8, "|i1"},    {ElementType::kUint8, "|u1"},
    {ElementType::kInt16, "<i2"},   {ElementType::kUint16, "<u2"},  {ElementType::kInt32, "<i4"},
    {ElementType::kUint32, "<u4"},  {ElementType::kInt64, "<i8"},   {ElementType::kUint64, "<u8"},
    {ElementType::kFloat16, "<f2"}, {ElementType::kFloat32, "<f4"}, {ElementType::kFloat64, "<f8"},
};

[[noreturn]] void broken(std::string_view what) {
  base::invalid("npz.invalid", "{}", what);
}

// The value after `'key':` in the header's Python dictionary, up to where it ends.
std::string_view header_field(std::string_view header, std::string_view key) {
  const std::string quoted = fmt::format("'{}':", key);
  const std::size_t at = header.find(quoted);
  if (at == std::string_view::npos) broken(fmt::format("the array's header has no {}", key));
  std::string_view rest = header.substr(at + quoted.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const std::size_t end = rest.starts_with('(') ? rest.find(')') : rest.find_first_of(",}");
  if (end == std::string_view::npos) broken("the array's header does not end");
  return rest.substr(0, end);
}

Shape parse_shape(std::string_view text) {
  if (!text.starts_with('(')) broken("the array's shape is no tuple of numbers");
  Shape shape;
  text.remove_prefix(1);  // the bracket
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" ,"), text.size()));
    if (text.empty()) return shape;
    std::int64_t dim = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), dim);
    if (error != std::errc{}) broken("the array's shape is no tuple of numbers");
    shape.push_back(dim);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
}

// The .npy format, versions 1 to 3: magic, version, header length, header, elements.
Tensor parse_npy(std::string_view bytes) {
  if (bytes.size() < 12 || !bytes.starts_with(kMagic)) broken("it is no .npy array");
  const bool is_first_version = bytes[6] == 1;
  const std::size_t begin = is_first_version ? 10 : 12;
  std::uint32_t header_size = 0;
  std::memcpy(&header_size, bytes.data() + 8, is_first_version ? 2 : 4);
  if (header_size > bytes.size() - begin) broken("the array's header is cut off");
  const std::string_view header = bytes.substr(begin, header_size);
  const std::string_view elements = bytes.substr(begin + header_size);

  std::string_view descr = header_field(header, "descr");
  if (descr.size() >= 2) descr = descr.substr(1, descr.size() - 2);  // its quotes
  const auto* row =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeRow& r) { return r.descr == descr; });
  if (row == std::end(kTypes)) base::invalid("npz.type", "NumPy type '{}' matches no element type here", descr);
  const Shape shape = parse_shape(header_field(header, "shape"));
  if (header_field(header, "fortran_order") != "False" && shape.rank() > 1) {
    base::invalid("npz.type", "the array is in Fortran order; store it with np.ascontiguousarray");
  }
  // Compared before it is allocated: the header may claim anything.
  const std::size_t needed = Tensor::wrap(row->type, shape, nullptr).byte_count();
  if (needed != elements.size()) {
    broken(fmt::format("the array must have {} bytes of elements, but has {}", needed, elements.size()));
  }
  Tensor tensor = Tensor::allocate(row->type, shape);
  if (row->type == ElementType::kBool) {
    std::ranges::transform(elements, tensor.data<bool>(), [](char byte) { return byte != 0; });
  } else if (needed != 0) {
    std::memcpy(tensor.raw_data(), elements.data(), needed);
  }
  return tensor;
}

std::string npy_header(const Tensor& tensor) {
  const auto* row = std::find_if(std::begin(kTypes), std::end(kTypes),
                                 [&](const TypeRow& r) { return r.type == tensor.element_type(); });
  if (row == std::end(kTypes)) {
    base::invalid("npz.type", "element type {} cannot be written to an .npz file",
                  element_type_name(tensor.element_type()));
  }
  std::string shape;
  for (const std::int64_t dim : tensor.shape()) shape += fmt::format("{}, ", dim);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", row->descr, shape);
  // Elements begin at a multiple of 64; the header ends with a line break.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  const auto size = static_cast<std::uint16_t>(header.size());
  std::string result(kMagic);
  result += std::string_view("\x01\x00", 2);
  result.append(reinterpret_cast<const char*>(&size), 2);
  return result + header;
}

using Archive = std::unique_ptr<zip_t, decltype(&zip_discard)>;

std::string zip_text(zip_error_t& error) {
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

std::string read_entry(zip_t* archive, zip_uint64_t index, const zip_stat_t& info) {
  const std::unique_ptr<zip_file_t, decltype(&zip_fclose)> file(zip_fopen_index(archive, index, 0), zip_fclose);
  if (file == nullptr) broken(zip_strerror(archive));
  std::string content;
  char buffer[1 << 16];
  // Read to the end, where the checksum is compared, but not past the size in the directory.
  while (true) {
    const zip_int64_t count = zip_fread(file.get(), buffer, sizeof(buffer));
    if (count < 0) broken(zip_file_strerror(file.get()));
    if (count == 0) return content;
    content.append(buffer, static_cast<std::size_t>(count));
    if (content.size() > info.size) broken("an array is longer than the archive says");
  }
}

}  // namespace

NamedValues read_npz(const std::filesystem::path& path) {
  const auto mapping = base::MappedFile::open(path);
  return base::with_context(
      [&] { return fmt::format("while reading '{}'", path.string()); },
      [&] {
        zip_error_t error;
        zip_error_init(&error);
        const std::span<const std::byte> bytes = mapping->bytes();
        // libzip takes an empty file for an empty archive.
        if (bytes.empty()) broken("it is no .npz file: it is empty");
        zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
        if (source == nullptr) broken(zip_text(error));
        Archive archive(zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error), zip_discard);
        if (archive == nullptr) {
          zip_source_free(source);
          broken(fmt::format("it is no .npz file: {}", zip_text(error)));
        }
        NamedValues values;
        for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(zip_get_num_entries(archive.get(), 0)); ++i) {
          zip_stat_t info;
          if (zip_stat_index(archive.get(), i, 0, &info) != 0) broken(zip_strerror(archive.get()));
          std::string name = info.name;
          if (name.ends_with(".npy")) name.resize(name.size() - 4);
          values.emplace_back(name, base::with_context([&] { return fmt::format("in array '{}'", name); },
                                                       [&] { return parse_npy(read_entry(archive.get(), i, info)); }));
        }
        return values;
      });
}

void write_npz(const std::filesystem::path& path, const NamedValues& values) {
  // The archive is made in memory, so that the file appears whole or not at all.
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, &error);
  if (target == nullptr) broken(zip_text(error));
  zip_source_keep(target);
  const std::unique_ptr<zip_source_t, decltype(&zip_source_free)> owner(target, zip_source_free);
  Archive archive(zip_open_from_source(target, ZIP_TRUNCATE, &error), zip_discard);
  if (archive == nullptr) {
    zip_source_free(target);
    broken(zip_text(error));
  }
  std::vector<std::string> contents;  // alive until the archive is closed
  contents.reserve(values.size());
  for (const auto& [name, value] : values) {
    if (!value.is_tensor()) base::invalid("npz.type", "output '{}' is no tensor", name);
    std::string content = npy_header(value.tensor());
    if (const std::size_t size = value.tensor().byte_count(); size != 0) {
      content.append(static_cast<const char*>(value.tensor().raw_data()), size);
    }
    contents.push_back(std::move(content));
    zip_source_t* entry = zip_source_buffer(archive.get(), contents.back().data(), contents.back().size(), 0);
    const zip_int64_t index = entry == nullptr ? -1
                                               : zip_file_add(archive.get(), (name + ".npy").c_str(), entry,
                                                              ZIP_FL_OVERWRITE | ZIP_FL_ENC_UTF_8);
    if (index < 0 || zip_set_file_compression(archive.get(), static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0) != 0) {
      if (index < 0) zip_source_free(entry);
      base::invalid("npz.invalid", "cannot add '{}': {}", name, zip_strerror(archive.get()));
    }
  }
  if (zip_close(archive.get()) != 0) broken(zip_strerror(archive.get()));
  static_cast<void>(archive.release());  // closed

  base::write_file_atomically(path, [&](const base::WriteBytes& write) {
    if (zip_source_open(target) != 0) broken("cannot read the archive back");
    char buffer[1 << 16];
    zip_int64_t count = 0;
    while ((count = zip_source_read(target, buffer, sizeof(buffer))) > 0)
      write(buffer, static_cast<std::size_t>(count));
    zip_source_close(target);
    if (count < 0) broken("cannot read the archive back");
  });
}

}  // namespace lanner::cli
