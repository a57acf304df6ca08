// Compiles a model and runs it once: compile_and_run MODEL.onnx
#include <lanner/compile.h>
#include <lanner/error.h>

#include "values.h"

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: compile_and_run MODEL.onnx\n";
    return 2;
  }
  const lanner::Program program = lanner::compile(argv[1]);
  lanner::Session session(program);
  print(session.run(zeros(program)));
} catch (const lanner::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
