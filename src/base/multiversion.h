// Compiling a hot function once per instruction set, the right one chosen when the program is loaded. The loops inside
// are ordinary ones that the compiler vectorises; without contraction every version gives the same bits.
#pragma once

// Before a function that is not a template and not inline. The sanitizers start after the choice is made and cannot
// follow it, so their builds have the portable version only.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define LANNER_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define LANNER_MULTIVERSION
#endif
