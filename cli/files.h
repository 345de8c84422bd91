/* SPDX-License-Identifier: Apache-2.0 */
/* The manifests that -f names. */
#ifndef WEFT_CLI_FILES_H
#define WEFT_CLI_FILES_H

#include "cli/cli.h"

/* Reads files, directories (their *.yaml, *.yml and *.json, sorted, not the hidden ones) and standard input ("-") into
 * [{"name", "text"}], named as the user named them. Says what cannot be read; returns an enum cli_status. */
int files_read(const struct texts *paths, json_t **ret);

#endif
