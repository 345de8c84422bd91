/* SPDX-License-Identifier: Apache-2.0 */
/* Running lvm(8) and reading its reports, from within a child: blocking, as in image.h. Of the host's own configuration
 * what matters stays (filters, backups, locking); what a report looks like and what runs beside a command is ours to
 * say. */
#ifndef WEFT_STORD_LVM_H
#define WEFT_STORD_LVM_H

#include <jansson.h>

#include "core/value.h"

#define cleanup_json cleanup(json_decrefp) /* jansson's own, whose macro does not get along with ours */

/* A volume group, and where it is looked for. */
struct lvm {
	const char *group;
	const struct list
		*devices; /* paths: lvm sees these alone; empty or NULL: what the host's lvm.conf lets it see */
};

enum { LVM_ARGUMENTS_MAX = 640 };

/* Changes something: lvm CHANGE --devices ... --config ... ARGUMENTS. It ends by itself whatever becomes of us, since
 * what is killed between suspending and resuming a volume leaves it hanging. Returns 0, or an errno after it was said
 * what went wrong, beginning with `what` ("volume 'web' cannot be made"). */
int lvm_change(const struct lvm *lvm, const char *what, const char *const *arguments);
/* Asks: lvm lvs|vgs|pvs ... -o COLUMNS ARGUMENTS. `ret` are the rows, to be let go with json_decref(); names that are
 * not there have none. Sizes are bytes. The same results. */
int lvm_report(const struct lvm *lvm, const char *const *arguments, json_t **ret);

/* Of a row; "" and 0 for what it does not have. */
const char *lvm_text(const json_t *row, const char *column);
uint64_t lvm_bytes(const json_t *row, const char *column);
double lvm_percent(const json_t *row, const char *column);
/* A number for one of lvm's own identifiers, as it is the same for ever. */
uint64_t lvm_identity(const json_t *row, const char *column);
/* The tag that begins so; "" if there is none. */
void lvm_tag(const json_t *row, const char *column, const char *beginning, char *ret, size_t size);

#endif
