/* SPDX-License-Identifier: Apache-2.0 */
/* The kind HostPolicy: what the host's administrator allows all other manifests. There is one, and without it the
 * defaults of its rows hold. */
#include "netd/host-policy.h"

extern const struct kind netd_host_policy_kind;

#define NAME "default"
enum { VNI_LEAST = 5000 }; /* as the default of its row */

struct vni_policy {
	uint64_t present;
	uint32_t min;
};

struct host_policy_spec {
	uint64_t present;
	struct vni_policy vni;
};

static const struct field vni_rows[] = {
	F_U32("min", struct vni_policy, min, .min = 1, .max = 16777215, .def = "5000",
	      .doc = "The least number that a Vxlan or a Geneve may have; those below are left to others.",
	      .example = "5000"),
};
static const struct table vni_table = TABLE("HostPolicy.vni", struct vni_policy, vni_rows);

static const struct field host_policy_rows[] = {
	F_STRUCT("vni", struct host_policy_spec, vni, vni_table, .doc = "Numbers of virtual networks."),
};
static const struct table host_policy_table = TABLE("HostPolicy", struct host_policy_spec, host_policy_rows);

bool host_policy_allows_vni(struct lowering *l, uint32_t vni)
{
	const struct object *object = lower_find(l, netd_host_policy_kind.name, NAME);
	uint32_t min = object ? ((const struct host_policy_spec *)object->spec)->vni.min : VNI_LEAST;
	if (vni >= min)
		return true;
	struct diag *diag =
		lower_refuse(l, "spec.vni", "VNI %u is below %u, the least that this host takes", vni, min);
	if (object)
		diag_related(lower_diags(l), diag, object_pos(object, "spec.vni.min"), "this is what it takes");
	else
		diag_hint(lower_diags(l), diag, "a HostPolicy named " NAME " can say another: vni: {min: %u}", vni);
	return false;
}

static void host_policy_check(const struct check *check)
{
	if (!streq(check->object->name, NAME))
		check_fault(check, "metadata.name", "a host has one HostPolicy, which is named '" NAME "'");
}

static void host_policy_lower(struct lowering *l, const struct object *object)
{
	/* Who is bound by it asks for it. */
}

const struct kind netd_host_policy_kind = {
	.name = "HostPolicy",
	.plural = "hostpolicies",
	.doc = "What the host's administrator allows all other manifests. There is one, named default.",
	.table = &host_policy_table,
	.check = host_policy_check,
	.lower = host_policy_lower,
	.columns = "spec.vni.min",
};
