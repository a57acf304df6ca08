// Throwing an Error with a formatted message, and adding context to one that passes by.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "lanner/error.h"

namespace lanner::base {

// Throws Error(code, reason, formatted message). `reason` is a stable word such as "op.rank".
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, std::string_view reason, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, reason, fmt::format(format, std::forward<Args>(args)...));
}

// fail() with kInvalidArgument, by far the most frequent code.
template <typename... Args>
[[noreturn]] void invalid(std::string_view reason, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorCode::kInvalidArgument, reason, fmt::format(format, std::forward<Args>(args)...));
}

// Runs `body`; an Error that leaves it gains the context line that `line()` returns. The line is only made on failure.
template <typename Line, typename Body>
decltype(auto) with_context(Line&& line, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (Error& error) {
    error.add_context(std::forward<Line>(line)());
    throw;
  }
}

}  // namespace lanner::base
