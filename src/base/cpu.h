// Which CPU this is, in words.
#pragma once

#include <string>

namespace lanner::base {

// The CPU as it names itself, with what tells models of one name apart: "AMD EPYC, family 26, model 2". The same on
// every CPU of a kind; the name of the architecture where the CPU cannot be asked.
const std::string& cpu_name();

}  // namespace lanner::base
