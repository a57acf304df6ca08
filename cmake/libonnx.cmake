# The imported target `libonnx`. LANNER_LIBONNX names a folder that scripts/build_libonnx made; without it, the script
# runs now, with the onnx package of LANNER_PYTHON_EXECUTABLE or, failing that, of .venv or the Python 3 that CMake finds.
set(LANNER_LIBONNX "" CACHE PATH "Folder with libonnx; empty: scripts/build_libonnx makes or finds it")
# Python_EXECUTABLE is set by pip's build.
set(LANNER_PYTHON_EXECUTABLE "${Python_EXECUTABLE}"
    CACHE FILEPATH "Python interpreter with the onnx package; empty: .venv, or what CMake finds")
# Any compiler whose libraries go with ours.
set(LANNER_LIBONNX_COMPILER "${CMAKE_CXX_COMPILER}" CACHE STRING "Compiler that scripts/build_libonnx uses")
set(LANNER_LIBONNX_FLAGS "" CACHE STRING "Its flags, such as a sanitizer's")

set(Protobuf_USE_STATIC_LIBS OFF)  # Debian's static library is not position independent
find_package(Protobuf REQUIRED)

if(LANNER_LIBONNX)
  set(libonnx_folder ${LANNER_LIBONNX})
else()
  set(libonnx_python ${LANNER_PYTHON_EXECUTABLE})
  if(NOT libonnx_python AND EXISTS ${PROJECT_SOURCE_DIR}/.venv/bin/python)
    set(libonnx_python ${PROJECT_SOURCE_DIR}/.venv/bin/python)
  endif()
  if(NOT libonnx_python)
    set(Python3_FIND_VIRTUALENV FIRST)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    set(libonnx_python ${Python3_EXECUTABLE})
  endif()
  execute_process(
    COMMAND ${libonnx_python} ${PROJECT_SOURCE_DIR}/scripts/build_libonnx --python ${libonnx_python}
            --compiler ${LANNER_LIBONNX_COMPILER} --flags=${LANNER_LIBONNX_FLAGS}
    OUTPUT_VARIABLE libonnx_folder OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE libonnx_failed)
  if(libonnx_failed)
    message(FATAL_ERROR "scripts/build_libonnx failed; LANNER_PYTHON_EXECUTABLE must have the package onnx==1.23.2")
  endif()
endif()
message(STATUS "libonnx: ${libonnx_folder}")

add_library(libonnx STATIC IMPORTED GLOBAL)
set_target_properties(
  libonnx
  PROPERTIES IMPORTED_LOCATION ${libonnx_folder}/lib/libonnx.a
             INTERFACE_INCLUDE_DIRECTORIES ${libonnx_folder}/include
             INTERFACE_COMPILE_DEFINITIONS "ONNX_ML=1;ONNX_NAMESPACE=onnx"
             INTERFACE_LINK_LIBRARIES protobuf::libprotobuf
             # Some of its symbols ask to be exported; ours is a private copy.
             INTERFACE_LINK_OPTIONS "-Wl,--exclude-libs,libonnx.a")
