// The command `lanner`.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

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

}  // namespace

int main(int argc, char** argv) {
  choose_spinning(argv);
  CLI::App app{"Makes object detectors fast where they are deployed.", "lanner"};
  app.set_version_flag("--version", "lanner " + std::string(lanner::version()));
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, lanner::cli::Action>> commands;
  for (const auto add : {lanner::cli::add_compile, lanner::cli::add_run, lanner::cli::add_profile,
                         lanner::cli::add_explain, lanner::cli::add_detect}) {
    lanner::cli::Action action = add(app);
    commands.emplace_back(app.get_subcommands({}).back(), std::move(action));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    for (const auto& [command, action] : commands) {
      if (command->parsed()) action();
    }
    if (std::fflush(stdout) != 0) {
      std::fprintf(stderr, "error: cannot write to standard output\n");
      return 1;
    }
    return 0;
  } catch (const lanner::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory\n  [memory.exhausted]\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n  [internal]\n", error.what());
  }
  return 1;
}
