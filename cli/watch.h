/* SPDX-License-Identifier: Apache-2.0 */
/* Showing a text anew whenever something has happened: the stream of events says when. */
#ifndef WEFT_CLI_WATCH_H
#define WEFT_CLI_WATCH_H

#include "cli/cli.h"

/* The text as it is now, freed by the caller; NULL (and said why) ends the watch. */
typedef char *render_fn(void *ctx);
/* On a terminal the text is redrawn in place; elsewhere the lines that are new are printed. Returns when weftd has
 * gone. */
int watch_text(struct cli *cli, render_fn *render, void *ctx);

#endif
