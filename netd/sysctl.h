/* SPDX-License-Identifier: Apache-2.0 */
/* Settings under /proc/sys, for the classes sysctl and forwarding and for facts. Names have slashes:
 * "net/ipv4/conf/lan/rp_filter", since a link's name may have dots. These files answer at once, so they are used on the
 * main thread. */
#ifndef WEFT_NETD_SYSCTL_H
#define WEFT_NETD_SYSCTL_H

#include "core/err.h"

enum { SYSCTL_VALUE_MAX = 4096 };

/* Is this a name below /proc/sys, and nothing that leads elsewhere? */
bool sysctl_name_valid(const char *name);
/* The value with its white space made single blanks; malloc'ed. 0, or -errno. */
int sysctl_read(const char *name, char **ret);
int sysctl_write(const char *name, const char *value, struct err *err);

#endif
