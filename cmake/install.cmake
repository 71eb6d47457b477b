# Headers, both libraries, pkg-config file, CMake package.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/spool)
install(TARGETS spool spool_static EXPORT spoolTargets)
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(EXPORT spoolTargets NAMESPACE spool:: DESTINATION ${package_dir})
configure_package_config_file(cmake/spoolConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/spoolConfig.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/spoolConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/spoolConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/spoolConfigVersion.cmake
    DESTINATION ${package_dir})
# At install time, because only then the prefix is known for sure.
install(CODE "
    set(PROJECT_VERSION \"${PROJECT_VERSION}\")
    set(PROJECT_DESCRIPTION \"${PROJECT_DESCRIPTION}\")
    set(CMAKE_INSTALL_LIBDIR \"${CMAKE_INSTALL_LIBDIR}\")
    set(CMAKE_INSTALL_INCLUDEDIR \"${CMAKE_INSTALL_INCLUDEDIR}\")
    configure_file(\"${CMAKE_CURRENT_SOURCE_DIR}/cmake/spool.pc.in\"
        \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig/spool.pc\" @ONLY)")
