/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Vrf: links that have a table of routes of their own. */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "netd/import.h"
#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"

extern const struct kind netd_vrf_kind;

struct vrf_spec {
	struct link_common common;
	uint32_t table;
	struct list links; /* const char * */
};

static const struct field vrf_rows[] = {
	F_U32("table", struct vrf_spec, table, .flags = FIELD_REQUIRED, .min = 1, .max = UINT32_MAX,
	      .doc = "Number of the table in which the routes of its links are.", .example = "1001"),
	F_LIST("links", struct vrf_spec, links, scalar_ifname, .singular = "link", .ref = "*",
	       .doc = "Links that use this table, and see no other.", .example = "br5001"),
	LINK_COMMON_ROWS(struct vrf_spec),
};
static const struct table vrf_table = TABLE("Vrf", struct vrf_spec, vrf_rows);

struct vrf_fixed {
	uint64_t present;
	uint32_t table;
};
static const struct field fixed_rows[] = {
	F_U32("table", struct vrf_fixed, table, .nl = IFLA_VRF_TABLE, .nl_form = NL_U32, .doc = "Its table of routes."),
};
static const struct table fixed_table = TABLE("link.vrf.fixed", struct vrf_fixed, fixed_rows);

static void vrf_check(const struct check *check)
{
	const struct vrf_spec *spec = check->object->spec;
	link_common_check(check);
	link_names_check(check, "links", &spec->links);
	if (spec->table >= RT_TABLE_DEFAULT && spec->table <= RT_TABLE_LOCAL)
		check_fault(check, "spec.table", "table %u is one of the host's own; take another", spec->table);
}

/* The kernel gives it a larger one than any link's, which is best left. */
static uint32_t vrf_mtu(struct lowering *l, const struct object *object)
{
	return 0;
}

static void vrf_lower(struct lowering *l, const struct object *object)
{
	const struct vrf_spec *spec = object->spec;
	if (!link_claim(l, "spec.table", "table %u of a VRF", spec->table))
		return;
	struct want *link = link_common_want(l, object, &(struct link_common_plan){.kind = "vrf"});
	if (!link)
		return;
	want_set(l, link, "fixed.table", "%u", spec->table);
	for (size_t i = 0; i < spec->links.n; i++) {
		lower_at(l, arena_printf(lower_arena(l), "spec.links[%zu]", i));
		struct want *port = link_want_other(l, list_at(&spec->links, const char *, i));
		want_set(l, port, "master", "%s", object->name);
		want_default(l, port, "up", "true");
		needs(l, port, link);
	}
	lower_at(l, NULL);
}

static void vrf_import(const struct link_import *import, json_t *spec)
{
	json_object_set_new(spec, "links", import_ports(import));
}

extern const struct link_kind link_vrf;
const struct link_kind link_vrf = {
	.name = "vrf",
	.object = &netd_vrf_kind,
	.kernel_name = "vrf",
	.fixed = &fixed_table,
	.leads_nowhere = true,
	.takes_ports = true,
	.mtu = vrf_mtu,
	.import = vrf_import,
};

const struct kind netd_vrf_kind = {
	.name = "Vrf",
	.plural = "vrfs",
	.doc = "Links that have a table of routes of their own, which keeps what they carry apart from the host's and "
	       "from "
	       "others'. Links that are there already are given back as they were when the Vrf goes.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &vrf_table,
	.check = vrf_check,
	.lower = vrf_lower,
	.columns = "spec.table,spec.links",
};
