/* SPDX-License-Identifier: Apache-2.0 */
/* Field rows as netlink attributes and back: a row that names its attribute (nl, nl_form) needs no other code to
 * travel. */
#ifndef WEFT_NETD_NETLINK_ROWS_H
#define WEFT_NETD_NETLINK_ROWS_H

#include <libmnl/libmnl.h>

#include "core/field.h"

/* Puts the rows of `mask` that are present and have an attribute. Returns 0, or -E2BIG for a text that is too long to
 * send. */
int netlink_put_rows(struct nlmsghdr *message, const struct table *table, const void *spec, uint64_t mask);
/* Sets the rows that `attrs` has values for, with their presence bits; and rows with a default, which is what the
 * kernel means when it leaves their attribute out. */
void netlink_get_rows(const struct table *table, const void *attrs, size_t size, struct arena *arena, void *spec);
/* Which rows have the value of their default. Of what is being made they need not be said; a kernel that does not know
 * them could not even be told so. */
uint64_t netlink_rows_at_default(const struct table *table, const void *spec);
/* Does this mask have rows that travel as attributes? */
bool netlink_has_rows(const struct table *table, uint64_t mask);

static inline void set_present(void *spec, size_t row)
{
	*present_of(spec) |= (uint64_t)1 << row;
}
static inline bool has_row(const void *spec, size_t row)
{
	return *(const uint64_t *)spec >> row & 1;
}

#endif
