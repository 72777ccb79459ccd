/* What all tests of the compactor's modules include first, in the order that cmocka asks for. */
#ifndef TESTS_COMPACTOR_SUPPORT_H
#define TESTS_COMPACTOR_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
