# Each tests/ROOM/NAME_test.c is one program and one test in a process of its own.  It is linked with the library as tests
# see it: internal symbols reachable, faults and spurious wake-ups injectable.
find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# SHARED is for tools/mutate: after a change nothing is linked anew but the library.
set(SPOOL_TEST_LIBRARY STATIC CACHE STRING "How the tests are linked with the library: STATIC or SHARED")
spool_library(spool_for_tests ${SPOOL_TEST_LIBRARY})
if(SPOOL_TEST_LIBRARY STREQUAL "SHARED")
    set_target_properties(spool_for_tests PROPERTIES C_VISIBILITY_PRESET default)
    target_link_options(spool_for_tests PUBLIC LINKER:-z,now PRIVATE LINKER:-Bsymbolic-functions)
    set(CMAKE_LINK_DEPENDS_NO_SHARED ON)
    # Jumped to from inline functions, and hidden.
    add_library(spool_tell OBJECT src/os/tell.c)
    target_include_directories(spool_tell PRIVATE src include)
    target_compile_definitions(spool_tell PRIVATE SPOOL_TEST_BUILD=1)
    target_link_libraries(spool_for_tests INTERFACE $<TARGET_OBJECTS:spool_tell>)
endif()
target_compile_definitions(spool_for_tests PUBLIC SPOOL_TEST_BUILD=1)

set(SPOOL_TEST_LIMIT 100 CACHE STRING "Seconds a unit test or an example may take")
set(limit ${SPOOL_TEST_LIMIT})
set(tests_dir ${CMAKE_CURRENT_SOURCE_DIR}/tests)

# A test with a time limit, at which the stacks of all its threads are printed.
function(limited_test name seconds labels)
    add_test(NAME ${name} COMMAND ${tests_dir}/tools/limited.sh ${seconds} ${ARGN})
    math(EXPR hard_limit "${seconds} + 150")
    set_tests_properties(${name} PROPERTIES TIMEOUT ${hard_limit} LABELS "${labels}")
endfunction()

file(GLOB programs RELATIVE ${tests_dir} CONFIGURE_DEPENDS ${tests_dir}/*/*_test.c)
foreach(program IN LISTS programs)
    string(REGEX REPLACE "/(.*)\\.c$" ".\\1" name ${program})
    get_filename_component(room ${program} DIRECTORY)
    if(room STREQUAL "orders" OR room STREQUAL "package")
        continue()
    endif()
    add_executable(${name} ${tests_dir}/${program})
    target_include_directories(${name} PRIVATE ${tests_dir} ${CMAKE_CURRENT_SOURCE_DIR}/src)
    target_link_libraries(${name} PRIVATE spool_for_tests spool_flags PkgConfig::CMOCKA)
    limited_test(${name} ${limit} "unit;${room}" $<TARGET_FILE:${name}>)
endforeach()

# Two files that share a task declared in a header.
add_executable(contract.extern_task ${tests_dir}/contract/extern_user.c ${tests_dir}/contract/extern_task.c)
target_link_libraries(contract.extern_task PRIVATE spool_static spool_flags)
limited_test(contract.extern_task ${limit} "unit;contract" $<TARGET_FILE:contract.extern_task>)

if(CMAKE_CROSSCOMPILING)
    include(cmake/emulated.cmake)
endif()

# Another C library or another processor: there is no C++ and no other library to build the rest with.
if(SPOOL_UNIT_TESTS_ONLY)
    return()
endif()

# The C++ user's view.
enable_language(CXX)
add_executable(contract.cpp_program ${tests_dir}/contract/program.cpp)
target_link_libraries(contract.cpp_program PRIVATE spool_static spool_flags)
limited_test(contract.cpp_program ${limit} "unit;contract" $<TARGET_FILE:contract.cpp_program>)
foreach(kind spool spool_static)
    add_executable(contract.cpp_exceptions_${kind} ${tests_dir}/contract/exceptions.cpp)
    target_link_libraries(contract.cpp_exceptions_${kind} PRIVATE ${kind} spool_flags)
    limited_test(contract.cpp_exceptions_${kind} ${limit} "unit;contract" $<TARGET_FILE:contract.cpp_exceptions_${kind}>)
endforeach()

# What some examples need.
pkg_check_modules(EXAMPLES_WEB REQUIRED IMPORTED_TARGET libcurl libmicrohttpd)
pkg_check_modules(EXAMPLES_ZLIB REQUIRED IMPORTED_TARGET zlib)
add_library(examples_web STATIC examples/web/get.c examples/web/server.c)
target_link_libraries(examples_web PUBLIC spool_static PkgConfig::EXAMPLES_WEB PRIVATE spool_flags)
set(example_needs_fetch_users examples_web)
set(example_needs_io_bound examples_web)
set(example_needs_risky_fetch examples_web)
set(example_needs_url_fetcher examples_web)
set(example_needs_url_status examples_web)
set(example_needs_compress_files PkgConfig::EXAMPLES_ZLIB)

# The examples are built like a user's program and their output is compared.
file(GLOB examples RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/examples CONFIGURE_DEPENDS examples/*.c)
foreach(example IN LISTS examples)
    get_filename_component(name ${example} NAME_WE)
    add_executable(example.${name} examples/${example})
    target_link_libraries(example.${name} PRIVATE spool_static spool_flags ${example_needs_${name}})
    limited_test(example.${name} ${limit} "example" ${tests_dir}/examples/run.sh $<TARGET_FILE:example.${name}>
        ${CMAKE_CURRENT_SOURCE_DIR}/examples/expected/${name}.txt)
endforeach()

# The benchmarks of ours, with counts that measure nothing: they build, run, and find their sums right.
foreach(call "lock uncontended 1000" "lock contended 5 2" "rlock nested 1000" "semaphore pingpong 50"
        "event pingpong 50" "condition pingpong 50" "queue bounded 5000 2" "queue unbounded 5000 2" "thread create 10"
        "thread sleepers 10 65536" "pool throughput 1000" "pool pending 1000" "pool latency 50" "pool after_idle 2 5"
        "pool idle 20" "fib fork 12" "map chunks 5000" "map works 20 100" "completed as_completed 1000")
    separate_arguments(words UNIX_COMMAND "${call}")
    list(POP_FRONT words program)
    list(GET words 0 mode)
    limited_test(bench.${program}_${mode} ${limit} "bench" $<TARGET_FILE:bench.spool_${program}> ${words})
endforeach()

# The models: the protocols of src/ under a checker of weak memory (relacy, a set of headers), see tests/model/README.md.
# Once is enough: what is checked does not depend on compiler or sanitizer.
if(SPOOL_SANITIZE STREQUAL "" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    include(CheckIncludeFileCXX)
    check_include_file_cxx(relacy/relacy.hpp SPOOL_HAVE_RELACY)
    if(NOT SPOOL_HAVE_RELACY)
        unset(SPOOL_HAVE_RELACY CACHE)
        message(FATAL_ERROR "<relacy/relacy.hpp> is missing: install relacy-dev (scripts/test does), or build without tests")
    endif()
    foreach(name lock word_lock once ring chain sleepers crew deque future)
        add_executable(model.${name} ${tests_dir}/model/${name}_model.cpp)
        target_include_directories(model.${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
        target_link_libraries(model.${name} PRIVATE spool_flags)
        # Else the compiler leaves out the store by which the checker knows that an object was freed.
        target_compile_options(model.${name} PRIVATE -fno-lifetime-dse)
        set_target_properties(model.${name} PROPERTIES CXX_STANDARD 98)
        limited_test(model.${name} ${limit} "model" $<TARGET_FILE:model.${name}>)
        limited_test(model.${name}_weakened ${limit} "model" $<TARGET_FILE:model.${name}> weakened)
    endforeach()
endif()

# How costs grow, see tests/growth/growth.h.  The library for it calls a counter at each of its branches, and its calls of
# the C library pass the counters of memory and threads.  Once is enough: what is counted does not depend on a sanitizer.
if(SPOOL_SANITIZE STREQUAL "")
    spool_library(spool_for_growth STATIC)
    target_compile_options(spool_for_growth PRIVATE -fsanitize-coverage=trace-pc)
    file(GLOB tables RELATIVE ${tests_dir}/growth CONFIGURE_DEPENDS ${tests_dir}/growth/*.c)
    list(REMOVE_ITEM tables growth.c)
    foreach(table IN LISTS tables)
        get_filename_component(name ${table} NAME_WE)
        add_executable(growth.${name} ${tests_dir}/growth/${table} ${tests_dir}/growth/growth.c)
        target_include_directories(growth.${name} PRIVATE ${tests_dir})
        target_link_libraries(growth.${name} PRIVATE spool_for_growth spool_flags m)
        target_link_options(growth.${name} PRIVATE LINKER:--wrap=malloc,--wrap=calloc,--wrap=posix_memalign,--wrap=free
            LINKER:--wrap=pthread_create)
        limited_test(growth.${name} ${limit} "growth" $<TARGET_FILE:growth.${name}>)
    endforeach()
endif()

# Random programs over the whole interface, see tests/lean/README.md: on all CPUs, on one, beside two busy processes.
file(GLOB steps CONFIGURE_DEPENDS ${tests_dir}/lean/*_steps.c)
add_executable(lean.program ${tests_dir}/lean/program.c ${tests_dir}/lean/script.c ${tests_dir}/lean/actor.c
    ${tests_dir}/lean/world.c ${steps})
target_link_libraries(lean.program PRIVATE spool_static spool_flags)
target_link_options(lean.program PRIVATE LINKER:--wrap=malloc,--wrap=calloc,--wrap=posix_memalign,--wrap=pthread_create)
add_executable(lean.drive ${tests_dir}/lean/drive.c ${tests_dir}/lean/script.c)
target_link_libraries(lean.drive PRIVATE spool_static spool_flags)
foreach(name program drive)
    target_include_directories(lean.${name} PRIVATE ${tests_dir})
endforeach()
foreach(call "cores 1000" "one_core 500 --one-core" "busy 500 --busy 2")
    separate_arguments(words UNIX_COMMAND "${call}")
    list(POP_FRONT words name programs)
    limited_test(lean.${name} ${limit} "lean" $<TARGET_FILE:lean.drive> --programs ${programs} ${words}
        --stacks ${tests_dir}/tools/stacks.sh $<TARGET_FILE:lean.program>)
endforeach()
limited_test(lean.notices ${limit} "lean" ${tests_dir}/lean/notices.sh $<TARGET_FILE:lean.drive> $<TARGET_FILE:lean.program>)

if(TARGET orders AND EXISTS ${tests_dir}/orders/CMakeLists.txt)
    add_subdirectory(tests/orders)
endif()

# What is about the text and not about the run: once is enough, in a build without sanitizer.
if(SPOOL_SANITIZE STREQUAL "")
    add_test(NAME tools.check_layers COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tools/check_layers)
    add_test(NAME tools.check_layers_fails COMMAND ${tests_dir}/tools/check_layers_test.sh)
    add_test(NAME tools.check_atomics COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tools/check_atomics)
    add_test(NAME tools.check_atomics_fails COMMAND ${tests_dir}/tools/check_atomics_test.sh)
    add_executable(tools.hang ${tests_dir}/tools/hang.c)
    target_link_libraries(tools.hang PRIVATE spool_static spool_flags)
    add_test(NAME tools.limited COMMAND ${tests_dir}/tools/limited_test.sh $<TARGET_FILE:tools.hang>)
    add_test(NAME tools.check_docs COMMAND ${tests_dir}/tools/check_docs.sh)
    add_test(NAME tools.check_docs_fails COMMAND ${tests_dir}/tools/check_docs.sh --self-test)
    add_test(NAME tools.bench COMMAND ${tests_dir}/tools/bench_test.sh)
    add_test(NAME tools.examples COMMAND ${tests_dir}/examples/run_test.sh)
    add_test(NAME contract.headers COMMAND ${tests_dir}/contract/run.sh ${CMAKE_C_COMPILER} ${CMAKE_CXX_COMPILER})
    add_test(NAME contract.compile_fail COMMAND ${tests_dir}/compile_fail/run.sh ${CMAKE_C_COMPILER})
    add_test(NAME os.copies COMMAND ${tests_dir}/os/copies_test.sh ${CMAKE_C_COMPILER} $<TARGET_FILE:spool>
        $<TARGET_FILE:spool_static>)
    add_test(NAME contract.symbols COMMAND ${tests_dir}/contract/symbols.sh $<TARGET_FILE:spool>)
    add_test(NAME contract.pauses COMMAND ${tests_dir}/contract/pauses.sh $<TARGET_FILE:spool> $<TARGET_FILE:spool_static>
        $<TARGET_FILE:spool_for_tests>)
    add_test(NAME conformance.check_table COMMAND ${tests_dir}/conformance/check_table.sh)
    add_test(NAME conformance.check_table_fails COMMAND ${tests_dir}/conformance/check_table_test.sh)
    add_test(NAME package.install COMMAND ${tests_dir}/package/run.sh ${CMAKE_BINARY_DIR} ${CMAKE_C_COMPILER}
        ${CMAKE_CXX_COMPILER})
    add_test(NAME package.tsan COMMAND ${tests_dir}/package/tsan.sh ${CMAKE_BINARY_DIR})
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # once: it builds with both compilers itself
        add_test(NAME package.lto COMMAND ${tests_dir}/package/lto.sh ${CMAKE_CURRENT_SOURCE_DIR})
        set_tests_properties(package.lto PROPERTIES TIMEOUT 300 LABELS "text")
    endif()
    set_tests_properties(tools.check_layers tools.check_layers_fails tools.check_atomics
        tools.check_atomics_fails tools.check_docs tools.check_docs_fails tools.limited tools.bench tools.examples os.copies contract.headers contract.compile_fail contract.symbols contract.pauses
        conformance.check_table conformance.check_table_fails package.install package.tsan
        PROPERTIES TIMEOUT 300 LABELS "text")
    set_property(TEST tools.bench APPEND PROPERTY LABELS "bench")
endif()
