/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a link kind. The list is written by the build: adding one is a file link-KIND.c and a line in
 * CMakeLists.txt. */
#include "core/lower.h"
#include "netd/link.h"

const struct link_kind *link_kind_find(const char *name)
{
	for (size_t i = 0; name && i < n_link_kinds; i++)
		if (streq(link_kinds[i]->name, name))
			return link_kinds[i];
	return NULL;
}

const struct link_kind *link_kind_of(const struct netlink_link *link)
{
	for (size_t i = 0; i < n_link_kinds; i++)
		if (streq(link_kinds[i]->kernel_name, link->kind) && (!link_kinds[i]->is || link_kinds[i]->is(link)))
			return link_kinds[i];
	return NULL;
}

struct mac link_stable_mac(const char *name)
{
	char text[64];
	struct mac mac;
	snprintf(text, sizeof(text), "link-mac/%s", name);
	uint64_t h = host_hash(text);
	memcpy(mac.b, &h, sizeof(mac.b));
	mac.b[0] = 0x02;
	return mac;
}
