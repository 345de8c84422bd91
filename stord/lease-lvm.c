/* SPDX-License-Identifier: Apache-2.0 */
/* Leases on logical volumes: the system ID of their volume group, which keeps every other host's lvm from the whole
 * group (lvm-host.c). Which guests of this host use which volume stands in lvm-leases in the state directory. */
#include "core/env.h"
#include "stord/pool-lvm.h"

static const char local[] = "lvm-leases";

struct leased {
	const struct lease_call *call;
	struct lvm lvm;
	struct lvm_owner owner;
};

static int open_leased(const struct lease_call *call, struct leased *l)
{
	*l = (struct leased){.call = call, .lvm = lvm_of(call->own)};
	return lvm_look_owner(&l->lvm, &l->owner);
}

/* Of a list of all volumes: each group is asked about once. The process ends with the list. */
static int open_listed(const struct lease_call *call, struct leased *l)
{
	static char *group;
	static struct leased listed;
	static int code;
	if (!group || !streq(group, ((const struct lvm_volume *)call->own)->group)) {
		code = open_leased(call, &listed);
		free(group);
		group = xstrdup(listed.lvm.group);
	}
	*l = listed;
	l->call = call;
	return code;
}

static void describe(const struct leased *l, struct lease_seen *ret)
{
	const struct lvm_owner *owner = &l->owner;
	*ret = (struct lease_seen){0};
	if (!owner->foreign)
		lease_local_list(l->call, local, ret);
	if (owner->foreign) { /* who of its guests has which volume is that host's own knowledge */
		struct lease_holder *holder = &ret->holders[ret->n++];
		bool of_weft = str_starts(owner->system_id, "weft-");
		*holder = (struct lease_holder){.guest = "?"};
		snprintf(holder->instance, sizeof(holder->instance), "%.*s", LEASE_TEXT_MAX - 1,
			 owner->system_id + (of_weft ? strlen("weft-") : 0));
		snprintf(holder->host, sizeof(holder->host), "%.*s", LEASE_TEXT_MAX - 1, owner->host);
	} else if (owner->exists && !owner->system_id[0]) {
		snprintf(ret->note, sizeof(ret->note),
			 "volume group '%s' was not made by weft and has no system ID: nothing keeps other hosts off "
			 "it; where it is shared, and this host does not boot from it, give it one: vgchange "
			 "--systemid %s %s",
			 l->lvm.group, lvm_system_id(), l->lvm.group);
	}
}

static int group_look(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	int code = (call->self.guest[0] ? open_leased : open_listed)(call, &l);
	if (!code)
		describe(&l, ret);
	return code;
}

static int group_take(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	int code = open_leased(call, &l);
	if (!code && !l.owner.exists)
		code = say(ENODEV, "volume group '%s' is not there", l.lvm.group);
	if (!code)
		code = lvm_refuse(&l.lvm, &l.owner);
	if (!code)
		code = lvm_claim(&l.lvm, &l.owner); /* one that another host gave up, or an older weft made */
	if (!code)
		code = lease_local_write(call, local);
	return code ? code : group_look(call, ret);
}

/* The group stays this host's, with or without guests, for as long as the Pool is. */
static int group_release(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	bool last;
	int code = lease_local_drop(call, local, &last);
	if (!code)
		code = open_leased(call, &l);
	if (!code)
		describe(&l, ret);
	return code;
}

/* Whether another host lives cannot be seen from here. All volumes of the group are taken from it. */
static int group_break_off(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	int code = open_leased(call, &l);
	if (code)
		return code;
	describe(&l, ret);
	if (l.owner.lock_type[0])
		return lvm_refuse(&l.lvm, &l.owner);
	if (!l.owner.foreign && ret->n)
		return say(EBUSY, "guest '%s' of this host has volume '%s': stop it", ret->holders[0].guest,
			   call->volume);
	return l.owner.foreign ? lvm_take_over(&l.lvm, &l.owner) : 0;
}

const struct lease_means lease_by_group = {
	.name = "group",
	.doc = "the system ID of the volume group",
	.table = &lvm_volume_table,
	.look = group_look,
	.take = group_take,
	.release = group_release,
	.break_off = group_break_off,
};
