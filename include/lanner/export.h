// Marks what the shared libraries make visible; everything else is hidden.
#pragma once

#define LANNER_EXPORT __attribute__((visibility("default")))
