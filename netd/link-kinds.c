/* SPDX-License-Identifier: Apache-2.0 */
/* The list of link kinds. Adding one is a file link-KIND.c and a line here. */
#include "core/lower.h"
#include "netd/link.h"

extern const struct link_kind link_bridge, link_tap;

static const struct link_kind *const kinds[] = {
	&link_bridge,
	&link_tap,
};

const struct link_kind *link_kind_find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(kinds); i++)
		if (streq(kinds[i]->name, name))
			return kinds[i];
	return NULL;
}

const struct link_kind *link_kind_of(const struct netlink_link *link)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(kinds[i]->kernel_name, link->kind) && (!kinds[i]->is || kinds[i]->is(link)))
			return kinds[i];
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
