/* SPDX-License-Identifier: Apache-2.0 */
/* Which host a volume group belongs to: its system ID (lvmsystemid(7)). lvm itself refuses to touch a group that has
 * another host's, whoever runs it. This host's ID is the one that its lvm.conf says; where that says none, as it mostly
 * does, it is "weft-INSTANCE", which is given to each command that weft runs and written into no configuration. */
#include "core/env.h"
#include "stord/image.h"
#include "stord/lvm.h"

enum { ID_MAX = 128 };

static const char host_tag[] = "weft-host:";

static char *weft_id(void)
{
	return xprintf("weft-%s", env.instance);
}

static bool is_id(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-";
	return *text && strlen(text) <= ID_MAX && text[strspn(text, allowed)] == '\0';
}

/* lvm systemid
 *   system ID: alpha
 * Freed by the caller; weft's own if lvm has none. */
static char *ask_system_id(void)
{
	static const char *const argv[] = {"lvm", "systemid", NULL};
	static const char before[] = "system ID: ";
	cleanup_free char *out = NULL, *errs = NULL;
	char *id = run_program(argv, &out, &errs) == 0 ? strstr(out, before) : NULL;
	if (id) {
		id += strlen(before);
		id[strcspn(id, "\n")] = '\0';
	}
	return id && is_id(id) ? xstrdup(id) : weft_id();
}

/* Asking costs as much as a look, so the answer is kept where other children find it. */
static char *cache_path(void)
{
	return xprintf("%s/lvm/system-id", env.run_dir);
}

void lvm_learn_system_id(void)
{
	cleanup_free char *dir = xprintf("%s/lvm", env.run_dir), *path = cache_path(), *id = ask_system_id();
	mkdir_all(dir, 0700);
	file_write_atomic(path, id, strlen(id), 0644); /* without it each child asks for itself */
}

const char *lvm_system_id(void)
{
	static char *id; /* goes with the child */
	cleanup_free char *path = cache_path(), *text = NULL;
	if (!id)
		id = file_read(path, ID_MAX + 1, &text, NULL) == 0 && is_id(text) ? take_ptr(text) : ask_system_id();
	return id;
}

char *lvm_host_settings(const struct lvm *lvm)
{
	cleanup_free char *own = weft_id(); /* of a group that was made before the host had one */
	cleanup_free char *number = lvm->host_id ? xprintf(" host_id = %u", lvm->host_id) : xstrdup("");
	return xprintf("global { system_id_source = \"lvmlocal\"%s } local { system_id = \"%s\" extra_system_ids = [ "
		       "\"%s\" ]%s } ",
		       lvm->shared ? " use_lvmlockd = 1" : "", lvm_system_id(), lvm->as_host ? lvm->as_host : own,
		       number);
}

char *lvm_by_hand(void)
{
	cleanup_free char *own = weft_id();
	return streq(lvm_system_id(), own)
		       ? xprintf(" --config 'global/system_id_source=lvmlocal local/system_id=%s'", lvm_system_id())
		       : xstrdup("");
}

static bool is_own(const char *system_id)
{
	cleanup_free char *own = weft_id();
	return streq(system_id, own) || streq(system_id, lvm_system_id());
}

void lvm_owner_of(const json_t *row, struct lvm_owner *ret)
{
	char tag[sizeof(ret->host) + sizeof(host_tag)];
	*ret = (struct lvm_owner){.exists = row};
	snprintf(ret->system_id, sizeof(ret->system_id), "%s", lvm_text(row, "vg_systemid"));
	snprintf(ret->lock_type, sizeof(ret->lock_type), "%s", lvm_text(row, "vg_lock_type"));
	lvm_tag(row, "vg_tags", "weft:", ret->mark, sizeof(ret->mark));
	lvm_tag(row, "vg_tags", host_tag, tag, sizeof(tag));
	snprintf(ret->host, sizeof(ret->host), "%s", *tag ? tag + strlen(host_tag) : ret->system_id);
	ret->foreign = ret->system_id[0] && !is_own(ret->system_id);
}

int lvm_look_owner(const struct lvm *lvm, struct lvm_owner *ret)
{
	cleanup_json json_t *rows = NULL;
	int code = lvm_report(
		lvm, (const char *[]){"vgs", "--foreign", "--shared", "-o", LVM_OWNER_COLUMNS, lvm->group, NULL},
		&rows);
	lvm_owner_of(json_array_get(rows, 0), ret);
	return code;
}

char *lvm_refusal(const struct lvm *lvm, const struct lvm_owner *owner)
{
	if (owner->lock_type[0] && !lvm->shared)
		return xprintf("volume group '%s' is one that hosts share by lvmlockd (lock type %s): write `shared: "
			       "true` into its Pool, or name another group",
			       lvm->group, owner->lock_type);
	if (owner->lock_type[0] && !streq(owner->lock_type, "sanlock"))
		return xprintf("volume group '%s' is one that hosts share by lock type %s; weft knows sanlock only",
			       lvm->group, owner->lock_type);
	if (owner->exists && lvm->shared && !owner->lock_type[0])
		return xprintf("volume group '%s' is not one that hosts share: take `shared: true` out of its Pool, "
			       "name another group, or, while nobody uses anything of it, make it one with vgchange "
			       "--lock-type sanlock %s, with lvmlockd and sanlock running",
			       lvm->group, lvm->group);
	if (owner->foreign)
		return xprintf(
			"volume group '%s' belongs to host '%s' (system ID %s): delete its Pool there, which gives "
			"it up, or name another group; if that host is dead for good, `weft lease break` one of "
			"its Volumes",
			lvm->group, owner->host, owner->system_id);
	return NULL;
}

int lvm_refuse(const struct lvm *lvm, const struct lvm_owner *owner)
{
	cleanup_free char *refusal = lvm_refusal(lvm, owner);
	return refusal ? say(owner->lock_type[0] ? ENOTSUP : EBUSY, "%s", refusal) : 0;
}

char *lvm_host_tag(void)
{
	char name[65] = "";
	if (gethostname(name, sizeof(name) - 1) < 0 || !is_id(name))
		strcpy(name, "unnamed");
	return xprintf("%s%s", host_tag, name);
}

/* lvm vgchange -y --systemid ID vg0, and then the tag: lvm takes no two such changes at once. */
static int set_owner(const struct lvm *lvm, const struct lvm_owner *owner, const char *system_id)
{
	cleanup_free char *what = xprintf("volume group '%s' cannot be made this host's", lvm->group);
	cleanup_free char *before = xprintf("%s%s", host_tag, owner->host), *tag = lvm_host_tag();
	int code = lvm_change(lvm, what, (const char *[]){"vgchange", "-y", "--systemid", system_id, lvm->group, NULL});
	const char *argv[] = {"vgchange", "--addtag", tag, lvm->group, NULL, NULL, NULL};
	if (streq(before, tag))
		return code;
	if (!streq(owner->host, owner->system_id)) {
		argv[4] = "--deltag";
		argv[5] = before;
	}
	return code ? code : lvm_change(lvm, what, argv);
}

int lvm_claim(const struct lvm *lvm, const struct lvm_owner *owner)
{
	if (!owner->exists || owner->system_id[0] || !owner->mark[0] || owner->lock_type[0])
		return 0;
	return set_owner(lvm, owner, lvm_system_id());
}

int lvm_take_over(const struct lvm *lvm, const struct lvm_owner *owner)
{
	struct lvm as_it = *lvm;
	as_it.as_host = owner->system_id;
	return set_owner(&as_it, owner, lvm_system_id());
}

int lvm_give_up(const struct lvm *lvm, const struct lvm_owner *owner)
{
	cleanup_free char *what = xprintf("volume group '%s' cannot be given up", lvm->group);
	if (!owner->system_id[0] || owner->foreign || !owner->mark[0])
		return 0;
	return lvm_change(lvm, what, (const char *[]){"vgchange", "-y", "--systemid", "", lvm->group, NULL});
}
