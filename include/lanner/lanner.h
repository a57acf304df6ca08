// Everything public. Include "lanner/session.h" alone to run compiled programs with the runtime library.
#pragma once

#include "lanner/compile.h"
#include "lanner/error.h"
#include "lanner/profile.h"
#include "lanner/program.h"
#include "lanner/session.h"
#include "lanner/tensor.h"
