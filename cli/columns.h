/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of objects, with the columns that their kind names. */
#ifndef WEFT_CLI_COLUMNS_H
#define WEFT_CLI_COLUMNS_H

#include <jansson.h>

#include "cli/table.h"

/* A table of objects of one kind (columns of `kind`), or of any when it is NULL. `wide` adds set, generation, repairs
 * and age. */
struct text_table *objects_table(const json_t *objects, const json_t *kind, bool wide);
/* The value of one column, such as "spec.memory.size" or "status.pid"; status is looked for in the details of the
 * resources too. */
json_t *column_value(const json_t *object, const char *path);

#endif
