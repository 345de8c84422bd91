/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds that this weftd knows, and what the words KIND, KIND/NAME and KIND NAME of a command line stand for. */
#ifndef WEFT_CLI_KINDS_H
#define WEFT_CLI_KINDS_H

#include "cli/cli.h"

/* One thing that was named: all of a kind when `name` is NULL, everything when `kind` is NULL too. */
struct selected {
	const json_t *kind; /* of selection.kinds */
	const char *name;
};
struct selection {
	json_t *kinds; /* all there are, as GET /v1/kinds has them */
	struct selected *items;
	size_t n, cap;
	char **texts; /* what names point into */
	size_t n_texts, cap_texts;
};

/* Reads "KIND", "KIND NAME...", "KIND/NAME...", "KIND,KIND" and "all". Says what is wrong; returns an enum
 * cli_status. */
int selection_read(struct cli *cli, struct selection *ret);
void selection_clear(struct selection *selection);
#define cleanup_selection cleanup(selection_clear)

int kinds_load(struct cli *cli, json_t **ret);
/* Any case, singular, plural or short. NULL if there is none. */
const json_t *kinds_find(const json_t *kinds, const char *word);
/* The same, and says that there is none. */
const json_t *kinds_need(const json_t *kinds, const char *word);

#endif
