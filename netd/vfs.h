/* SPDX-License-Identifier: Apache-2.0 */
/* The class "vfs": how many virtual functions (SR-IOV) a NIC has; key the NIC's name. The number is one setting of its
 * driver, which goes back to what it was when nobody wants it any more (vfs.c); vfs-host.c is what sysfs shows of it.
 */
#ifndef WEFT_NETD_VFS_H
#define WEFT_NETD_VFS_H

#include "core/lower.h"

extern const struct resource_class netd_vfs_class;

/* vfs-links.c: a link that a manifest names, and that no object of its own makes, may be that of a virtual function
 * which another manifest makes: then it comes after that, and is let go before. */
void vfs_lead_to(struct lowering *l, struct want *link);
bool netd_ethernet_makes_functions(const struct object *object);

/* How many a NIC can have: 0, or -ENOENT if there is no such NIC in this network namespace or it can have none. */
int vfs_most(const char *nic, uint32_t *ret);
/* The NIC whose virtual function has this link: 0 or -ENOENT; `ret` is malloc'ed. */
int vfs_nic_of(const char *link, char **ret);

struct vfs_seen {
	uint32_t count;
	char held[400]; /* a sentence on why none of them may go: who uses one; "" if nobody does */
};
/* What follows waits while somebody else changes the number: for children. Both return 0 or -errno, the second with err
 * set. */
int vfs_read(const char *nic, struct vfs_seen *ret);
/* Another number than 0 is only to be had by way of 0. Refused while somebody uses one that is there. What udev makes
 * of them has been made when it returns, unless that takes very long. */
int vfs_write(const char *nic, uint32_t count, struct err *err);

#endif
