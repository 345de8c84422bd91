/* SPDX-License-Identifier: Apache-2.0 */
/* The table of verbs, in the order in which help lists them. */
#include "cli/cli.h"

extern const struct verb verb_apply, verb_get, verb_status;

const struct verb *const verbs[] = {
	&verb_apply,
	&verb_get,
	&verb_status,
	NULL,
};
