# lanner_embed(<target> <file> <output>): at build time writes the bytes of a file into generated/<output>, as a list of
# numbers for a C++ array to include.
#
# Run as a script, with INPUT and OUTPUT, it does the writing.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${INPUT} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "char(0x\\1)," bytes "${bytes}")
  file(WRITE ${OUTPUT} "${bytes}\n")
  return()
endif()

set(LANNER_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(lanner_embed target file output)
  set(written ${PROJECT_BINARY_DIR}/generated/${output})
  add_custom_command(
    OUTPUT ${written}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_CURRENT_SOURCE_DIR}/${file} -DOUTPUT=${written} -P ${LANNER_EMBED_SCRIPT}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${LANNER_EMBED_SCRIPT}
    COMMENT "Embedding ${file}"
    VERBATIM)
  target_sources(${target} PRIVATE ${written})
endfunction()
