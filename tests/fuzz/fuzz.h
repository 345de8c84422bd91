/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets share. A target defines LLVMFuzzerTestOneInput(); it is linked with libFuzzer, or with replay.c,
 * which only runs the files of its corpus. */
#ifndef WEFT_TESTS_FUZZ_H
#define WEFT_TESTS_FUZZ_H

#include <jansson.h>

#include "core/lower.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A law that holds for every input. */
void require(bool law, const char *name);
/* What is answered or kept as JSON has only texts that JSON can carry. */
void require_json(json_t *json, const char *name); /* takes it */

/* Kinds, classes, plugins, facts and an environment below a temporary directory, once a process. */
void fuzz_setup(void);
/* The temporary directory; removed at exit. */
const char *fuzz_directory(void);

/* Takes the next part of an input: up to a NUL byte, or all that is left. Freed by the caller; *ret_size may be
 * NULL. */
char *fuzz_part(const uint8_t **data, size_t *size, size_t *ret_size);

#endif
