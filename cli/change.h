/* SPDX-License-Identifier: Apache-2.0 */
/* What apply, delete, confirm, rollback and diff have in common: asking for a change of the configuration, watching it,
 * and telling how it came out. */
#ifndef WEFT_CLI_CHANGE_H
#define WEFT_CLI_CHANGE_H

#include "api/client.h"
#include "cli/cli.h"

/* Posts the request and prints the answer (core/manager.h has its shape). `progress`: it may take long enough to be
 * watched. Returns an enum cli_status. */
int change_run(struct cli *cli, const char *path, const json_t *body, enum output output, bool progress);
/* The same for an order to one object: what became of it begins with "guest/web: stop". */
int change_order(struct cli *cli, const char *path, const char *what, enum output output);
/* And where the order itself tells how far it is, at a path that answers {"progress": "copying: 43 %"}. */
struct progress_of {
	const char *path, *what;
};
int change_long_order(struct cli *cli, const char *path, const struct progress_of *of, enum output output);

/* plan.c. Prints the steps of a plan, grouped by object; `fields`: with each field that changes, - and +. */
void plan_print(const json_t *plan, bool fields);

/* progress.c. As client_request(), but with a line for each object drawn on the terminal until the answer is there. */
int progress_request(struct cli *cli, const struct client_call *call, json_t **ret);
/* The same with one line, for the order. */
int progress_order(struct cli *cli, const struct client_call *call, const struct progress_of *of, json_t **ret);

#endif
