// Loads a program file and runs it once, with the runtime library alone: run_program MODEL.lanner
#include <lanner/error.h>

#include "values.h"

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: run_program MODEL.lanner\n";
    return 2;
  }
  const lanner::Program program = lanner::Program::load(argv[1]);
  lanner::Session session(program);
  print(session.run(zeros(program)));
} catch (const lanner::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
