/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of yaml.c: what libyaml's syntax errors mean to whoever wrote the file. */
#ifndef WEFT_CORE_YAML_FAULT_H
#define WEFT_CORE_YAML_FAULT_H

#include <yaml.h>

#include "core/diag.h"

/* Queues the error that a parser stopped at. `base_line` is the line of the source (from 0) that the parser began with.
 * Returns the line (from 1) from which on the text was not read. */
unsigned yaml_fault_queue(const yaml_parser_t *parser, const struct source *source, unsigned base_line,
			  struct diags *diags);

#endif
