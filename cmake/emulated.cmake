# What qemu-user cannot do, so that it is not tested under it.  Each test that is left out says so and why.
#
# - A child of a fork that starts a thread dies inside of the emulator, which has lost its own threads
#   ("qemu_plugin_vcpu_init_hook: assertion failed").  Programs that are about nothing else have "fork" in their names.
# - A limit of the address space (RLIMIT_AS) is not passed on to the program; tests that set one ask test_is_emulated().
# - The process has a thread of the emulator's own: it is not at its end when main's pthread_exit has been the last.
# - pthread_create with a stack for which there is no room ends the emulator, or hangs in it.
function(not_emulated test pattern why)
    if(TEST ${test})
        set_tests_properties(${test} PROPERTIES ENVIRONMENT "SPOOL_TEST_SKIP=${pattern};SPOOL_TEST_SKIP_WHY=${why}")
    endif()
endfunction()

set(forked "qemu-user dies in the child of a fork that starts a thread")
foreach(program IN LISTS programs)
    string(REGEX REPLACE "/(.*)\\.c$" ".\\1" name ${program})
    if(name MATCHES "fork")
        not_emulated(${name} "*" "${forked}")
    endif()
endforeach()
not_emulated(conformance.pool_test "forks_*" "${forked}")
not_emulated(thread.start_test "a_thread_that_fails_*" "qemu-user does not survive stacks for which there is no room")
not_emulated(thread.exit_test "fork" "${forked}")
not_emulated(thread.timer_test "process_exit_*" "${forked}")
