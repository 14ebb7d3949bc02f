/* For tests that write files: each works in an empty folder of its own, which is removed. For
 * cmocka_unit_test_setup_teardown(). */
#ifndef TESTS_OWN_FOLDER_H
#define TESTS_OWN_FOLDER_H

int own_folder_enter(void **state);
int own_folder_leave(void **state);

#endif
