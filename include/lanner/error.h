// Lanner's one exception type. Everything that fails because of data from outside (models, program files, requests,
// flags, images) fails with an Error; asserts are for the library's own invariants only.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "lanner/export.h"

namespace lanner {

// The canonical gRPC status codes, so that HTTP and gRPC front-ends need one short table.
enum class ErrorCode : std::uint8_t {
  kCancelled = 1,           // the caller asked to stop
  kUnknown = 2,             // a foreign exception that says no more
  kInvalidArgument = 3,     // wrong whatever the state of the system: a bad input, flag or model
  kDeadlineExceeded = 4,    // time ran out
  kNotFound = 5,            // a file, input or name that does not exist
  kAlreadyExists = 6,       // creating what is there already
  kPermissionDenied = 7,    // the operating system refuses
  kResourceExhausted = 8,   // memory, disk or a configured limit
  kFailedPrecondition = 9,  // right request, wrong state: for example a file made by a newer version
  kAborted = 10,            // given up because something else changed
  kOutOfRange = 11,         // an index or position past the end
  kUnimplemented = 12,      // valid, but not supported here
  kInternal = 13,           // a broken invariant of Lanner itself
  kUnavailable = 14,        // try again later
  kDataLoss = 15,           // truncated or corrupt data
};

// An error with a code, a stable reason word that users can search for (`model.truncated`, `op.rank`), a message that
// says what was needed and what was found, and context lines that are added, innermost first, as it rises.
// Copyable; what() stays valid as long as the object lives and is not changed.
class LANNER_EXPORT Error : public std::exception {
 public:
  Error(ErrorCode code, std::string_view reason, std::string_view message);

  ErrorCode code() const noexcept { return code_; }
  const std::string& reason() const noexcept { return reason_; }
  const std::string& message() const noexcept { return message_; }
  const std::vector<std::string>& context() const noexcept { return context_; }

  // The message, each context line indented by two spaces, and the reason in brackets on the last line.
  const char* what() const noexcept override { return text_.c_str(); }

  // Adds a line such as "in NonMaxSuppression 'nms_17'".
  void add_context(std::string_view line);

 private:
  void render();

  ErrorCode code_;
  std::string reason_;
  std::string message_;
  std::vector<std::string> context_;
  std::string text_;
};

}  // namespace lanner
