#include "lanner/error.h"

namespace lanner {

Error::Error(ErrorCode code, std::string_view reason, std::string_view message)
    : code_(code), reason_(reason), message_(message) {
  render();
}

void Error::add_context(std::string_view line) {
  context_.emplace_back(line);
  render();
}

void Error::render() {
  text_ = message_;
  for (const std::string& line : context_) {
    text_ += "\n  ";
    text_ += line;
  }
  text_ += "\n  [" + reason_ + "]";
}

}  // namespace lanner
