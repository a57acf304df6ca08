# `cmake --install` for C++: headers, the two libraries, the command, and find_package(Lanner) with the targets
# lanner::lanner and lanner::runtime. The Python package installs through pip (component "python").
include(CMakePackageConfigHelpers)

install(DIRECTORY include/lanner DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT cpp)
install(TARGETS lanner lanner_runtime EXPORT lanner_targets COMPONENT cpp)
install(TARGETS lanner_command COMPONENT cpp)
install(EXPORT lanner_targets FILE LannerTargets.cmake NAMESPACE lanner::
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Lanner COMPONENT cpp)
configure_package_config_file(cmake/LannerConfig.cmake.in ${PROJECT_BINARY_DIR}/LannerConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Lanner)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/LannerConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/LannerConfig.cmake ${PROJECT_BINARY_DIR}/LannerConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Lanner COMPONENT cpp)
