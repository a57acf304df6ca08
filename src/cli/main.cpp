// The command `lanner`.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "base/fail.h"
#include "cli/command.h"
#include "lanner/error.h"

namespace {

// libgomp reads its spin setting when it is loaded, before main: the command starts itself again with one that idles
// within microseconds, unless the user has chosen. (lanner/__init__.py does the same for Python.)
void choose_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("GOMP_SPINCOUNT", "1000", 1);
  ::execv("/proc/self/exe", argv);
}

// Prints what is wrong with the command line, and where to read how it must be.
void print_usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = "lanner";
  for (const CLI::App* chosen : app.get_subcommands()) command += " " + chosen->get_name();
  std::fprintf(stderr, "error: %s\n  see '%s --help'\n  [usage]\n", error.what(), command.c_str());
}

void flush_output() {
  // A write that failed earlier is remembered by the stream, not by fflush.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    lanner::base::invalid("file.unwritable", "cannot write to the standard output");
  }
}

}  // namespace

int main(int argc, char** argv) {
  choose_spinning(argv);
  CLI::App app{"Makes object detectors fast where they are deployed.", "lanner"};
  app.set_version_flag("--version", "lanner " + std::string(lanner::version()));
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, lanner::cli::Action>> commands;
  for (const auto add : {lanner::cli::add_compile, lanner::cli::add_run, lanner::cli::add_profile,
                         lanner::cli::add_bench, lanner::cli::add_explain, lanner::cli::add_detect}) {
    lanner::cli::Action action = add(app);
    commands.emplace_back(app.get_subcommands({}).back(), std::move(action));
  }
  try {
    try {
      app.parse(argc, argv);
      for (const auto& [command, action] : commands) {
        if (command->parsed()) action();
      }
    } catch (const CLI::Success& help) {
      app.exit(help);  // prints what was asked for
    }
    flush_output();
    return 0;
  } catch (const CLI::ParseError& error) {
    print_usage_error(app, error);
    return 2;
  } catch (const lanner::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory\n  [memory.exhausted]\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n  [internal]\n", error.what());
  }
  return 1;
}
