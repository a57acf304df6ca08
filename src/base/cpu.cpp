#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstring>

#include "base/fail.h"
#else
#include <sys/utsname.h>
#endif

namespace lanner::base {

namespace {

#if defined(__x86_64__)
std::string read_name() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  std::string name;
  for (const unsigned leaf : {0x80000002U, 0x80000003U, 0x80000004U}) {
    if (__get_cpuid(leaf, &a, &b, &c, &d) == 0) break;
    for (const unsigned word : {a, b, c, d}) {
      char text[sizeof(word)];
      std::memcpy(text, &word, sizeof(word));
      for (const char letter : text) {
        if (letter != '\0') name += letter;
      }
    }
  }
  const std::size_t first = name.find_first_not_of(' ');
  name = first == std::string::npos ? "x86-64" : name.substr(first, name.find_last_not_of(' ') + 1 - first);
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) {
    // As Intel's and AMD's manuals put the parts together.
    const unsigned base_family = a >> 8 & 0xF;
    const unsigned family = base_family == 0xF ? base_family + (a >> 20 & 0xFF) : base_family;
    const unsigned model = (a >> 4 & 0xF) | (base_family == 6 || base_family == 0xF ? a >> 12 & 0xF0 : 0);
    name += fmt::format(", family {}, model {}", family, model);
  }
  return name;
}
#else
std::string read_name() {
  utsname system{};
  return ::uname(&system) == 0 ? system.machine : "unknown";
}
#endif

}  // namespace

const std::string& cpu_name() {
  static const std::string name = read_name();
  return name;
}

}  // namespace lanner::base
