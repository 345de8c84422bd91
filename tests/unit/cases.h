/* SPDX-License-Identifier: Apache-2.0 */
/* Golden files of manifests. A case of a directory under tests/golden is NAME.yaml, or NAME/ with several files; what
 * is expected stands beside it as NAME.SUFFIX (see golden.h). Lines `# fact KEY = VALUE` in a manifest are what the
 * host answers. */
#ifndef WEFT_TESTS_CASES_H
#define WEFT_TESTS_CASES_H

#include "core/lower.h"

enum { CASES_SOURCES = 16, CASES_OBJECTS = 4096, CASES_FACTS = 64 };

struct manifests {
	struct generation *gen; /* of what was lowered; nothing if decoding found faults */
	struct diags diags;     /* sorted */
	struct source sources[CASES_SOURCES];
	size_t n_sources;
	struct object *objects[CASES_OBJECTS];
	size_t n_objects;
	char *facts[CASES_FACTS];
	size_t n_facts;
};

/* Kinds, plugins, the environment and facts, for all cases. Call once. */
void cases_setup(void);
/* Runs each case of a directory and compares what `text` returns (to be freed) with NAME.SUFFIX; the running test fails
 * if one differs. */
typedef char *case_text_fn(const struct manifests *manifests);
void cases_run(const char *directory, const char *suffix, case_text_fn *text);
/* Decodes and lowers a text for nothing but to see that it can be done. Returns how many faults it has. */
size_t cases_try(const char *text, size_t size);

#endif
