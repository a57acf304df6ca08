// The table of backends, best first. Each folder defines its own; nothing of it is seen here.
#include <algorithm>
#include <array>

#include "backends/backend.h"

namespace lanner::backends {

const Backend& onednn_backend();
const Backend& native_backend();

std::span<const Backend* const> all_backends() {
  static const std::array<const Backend*, 2> kBackends{&onednn_backend(), &native_backend()};
  return kBackends;
}

const Backend* find_backend(std::string_view name) {
  const auto found = std::ranges::find(all_backends(), name, &Backend::name);
  return found != all_backends().end() ? *found : nullptr;
}

}  // namespace lanner::backends
