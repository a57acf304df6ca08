// What the tests of sessions share.
#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "lanner/session.h"

namespace lanner {

template <typename T>
std::vector<T> elements(const NamedValues& values, std::string_view name) {
  for (const auto& [key, value] : values) {
    if (key != name) continue;
    const auto span = value.tensor().template values<T>();
    return {span.begin(), span.end()};
  }
  ADD_FAILURE() << "no output " << name;
  return {};
}

}  // namespace lanner
