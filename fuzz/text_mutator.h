// Changing the text form of a program in ways that leave most of it a program: another operator, attribute, type,
// shape, constant or order of instructions.
#pragma once

#include <string>
#include <string_view>

#include "fuzz/execute.h"

namespace lanner::fuzz {

// One change to `text`; `other` is a second program's text that parts may be taken from, or empty.
std::string mutate_text(std::string_view text, std::string_view other, Random& random);

// One word that kernels ask for by name, such as an attribute or a mode.
std::string_view any_word(Random& random);
// The name of an operator with a kernel, or of control flow.
std::string_view any_operator(Random& random);
// An integer that is likely to be a limit of something.
std::int64_t any_integer(Random& random);

}  // namespace lanner::fuzz
