/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type iscsi: the LUNs of an iSCSI target, over one portal or several. A session a portal is wanted; the pool is
 * there as long as one of them is, and answers as long as one of them works. */
#include "core/env.h"
#include "stord/iscsi.h"
#include "stord/pool-type.h"

struct iscsi_spec {
	uint64_t present;
	const char *target;
	struct list portals; /* struct endpoint */
	struct endpoint discovery;
	const char *initiator;
	struct chap_spec chap, mutual;
	bool multipath;
	struct iscsi_timeouts timeouts;
	bool adopt;
};
enum {
	TARGET_ROW,
	PORTALS_ROW,
	DISCOVERY_ROW,
	INITIATOR_ROW,
	CHAP_ROW,
	MUTUAL_ROW,
	MULTIPATH_ROW,
	TIMEOUTS_ROW,
	ADOPT_ROW
};

static const struct field iscsi_rows[] = {
	[TARGET_ROW] = F_OF(scalar_iscsi_name, const char *, "target", struct iscsi_spec, target,
			    .flags = FIELD_REQUIRED, .doc = "Name of the target."),
	[PORTALS_ROW] = F_LIST("portals", struct iscsi_spec, portals, scalar_portal, .list_max = 16,
			       .singular = "portal", .doc = "Where it is to be had. Or `discovery`."),
	[DISCOVERY_ROW] = F_OF(scalar_portal, struct endpoint, "discovery", struct iscsi_spec, discovery,
			       .doc = "An address that tells its portals (SendTargets), instead. What it told is kept "
				      "for when it does not answer."),
	[INITIATOR_ROW] = F_OF(scalar_iscsi_name, const char *, "initiator", struct iscsi_spec, initiator,
			       .doc = "Name that this host logs in with; no two hosts may have the same. Without it "
				      "that of /etc/iscsi/initiatorname.iscsi.",
			       .example = "iqn.2003-01.org.example:host1"),
	[CHAP_ROW] = F_STRUCT("chap", struct iscsi_spec, chap, chap_table,
			      .doc = "What this host logs in with, where the target asks for CHAP."),
	[MUTUAL_ROW] = F_STRUCT("mutualChap", struct iscsi_spec, mutual, chap_table,
				.doc = "What the target has to show in turn; needs `chap`."),
	[MULTIPATH_ROW] = F_BOOL("multipath", struct iscsi_spec, multipath,
				 .doc = "One map a LUN over all portals; true where there are several."),
	[TIMEOUTS_ROW] = F_STRUCT("timeouts", struct iscsi_spec, timeouts, iscsi_timeouts_table,
				  .doc = "How long what is waited for."),
	[ADOPT_ROW] = F_BOOL("adopt", struct iscsi_spec, adopt, .def = "false",
			     .doc = "Use sessions that others have made at these portals, as they are; they stay when "
				    "the Pool goes. Without it they are in the way, and are named."),
};
static const struct table iscsi_table = CHOICE_TABLE(
	"Pool of type iscsi", struct iscsi_spec, iscsi_rows,
	"The LUNs of an iSCSI target; a LUN gets its name from a Lun with {pool: NAME, lun: NUMBER}. weft "
	"logs in with records of its own and leaves those of others alone. A portal that dies turns the Pool "
	"Degraded, with its name; it is logged in again by itself. Logging out waits until nobody uses the "
	"disks.");

static bool is_set(const struct iscsi_spec *spec, int row)
{
	return spec->present >> row & 1;
}

static void check_chap(const struct check *check, const struct chap_spec *chap, const char *path)
{
	cleanup_free char *password = xprintf("%s.password", path), *user = xprintf("%s.user", path);
	if (chap->password.present)
		secret_check(check, &chap->password, password);
	if (chap->user && (!*chap->user || strpbrk(chap->user, " \t\n\r")))
		check_fault(check, user, "a user of CHAP is a word without spaces");
}

static void check_portals(const struct check *check, const struct iscsi_spec *spec)
{
	for (size_t i = 0; i < spec->portals.n; i++)
		for (size_t k = 0; k < i; k++) {
			if (!scalar_portal.equal(&list_at(&spec->portals, struct endpoint, i),
						 &list_at(&spec->portals, struct endpoint, k)))
				continue;
			cleanup_free char *path = xprintf("spec.portals[%zu]", i);
			check_fault(check, path, "this portal is in the list twice");
		}
	if (spec->portals.n > 1 && is_set(spec, MULTIPATH_ROW) && !spec->multipath)
		check_fault(
			check, "spec.multipath",
			"over several portals each LUN appears several times, and only multipath makes one of them: "
			"leave it true, or name one portal");
}

static void check_seconds(const struct check *check, const struct iscsi_timeouts *timeouts)
{
	const struct {
		const char *path;
		uint64_t ms;
	} all[] = {{"spec.timeouts.replacement", timeouts->replacement},
		   {"spec.timeouts.noopInterval", timeouts->noop_interval},
		   {"spec.timeouts.noopTimeout", timeouts->noop_timeout},
		   {"spec.timeouts.login", timeouts->login}};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].ms % 1000)
			check_fault(check, all[i].path, "iSCSI counts in whole seconds");
}

static void iscsi_check(const struct check *check, const void *own)
{
	const struct iscsi_spec *spec = own;
	bool discovers = is_set(spec, DISCOVERY_ROW);
	if (!discovers == !spec->portals.n)
		check_fault(check, discovers ? "spec.discovery" : "spec",
			    "a Pool of type iscsi has either `portals` or `discovery`, one of the two");
	check_portals(check, spec);
	check_chap(check, &spec->chap, "spec.chap");
	check_chap(check, &spec->mutual, "spec.mutualChap");
	if (is_set(spec, MUTUAL_ROW) && !is_set(spec, CHAP_ROW))
		check_fault(check, "spec.mutualChap",
			    "a target shows its password only to who has shown one: write `chap` as well");
	check_seconds(check, &spec->timeouts);
}

static bool has_multipath(const struct iscsi_spec *spec)
{
	return is_set(spec, MULTIPATH_ROW) ? spec->multipath : is_set(spec, DISCOVERY_ROW) || spec->portals.n > 1;
}

static struct lun_place iscsi_lun(const struct pool_state *pool)
{
	const struct iscsi_spec *spec = pool->own;
	return (struct lun_place){.target = spec->target, .multipath = has_multipath(spec)};
}

/* What was told when asked before: "ADDRESS TARGET PORTAL PORTAL...". Nothing yet: an empty list. */
static struct list discovered(struct lowering *l, const struct object *object, const struct iscsi_spec *spec)
{
	struct arena *arena = lower_arena(l);
	const char *told = fact(l, "iscsi-portals/%s", object->name);
	const char *asked = arena_printf(arena, "%s %s ", portal_text(&spec->discovery, arena), spec->target);
	if (!told || !str_starts(told, asked))
		return (struct list){0};
	char *rest = arena_strdup(arena, told + strlen(asked));
	struct endpoint *portals = arena_alloc(arena, (strlen(rest) / 2 + 1) * sizeof(*portals));
	size_t n = 0;
	struct err err = {0};
	for (char *text; (text = strsep(&rest, " "));)
		n += scalar_portal.parse(NULL, text, arena, &portals[n], &err) == 0;
	return (struct list){portals, has_multipath(spec) || !n ? n : 1};
}

static struct want *want_discovery(struct lowering *l, const struct object *object, const struct iscsi_spec *spec)
{
	struct discovery_state state = {
		.present = DISCOVERY_ADDRESS | DISCOVERY_TARGET | (spec->initiator ? DISCOVERY_INITIATOR : 0),
		.address = spec->discovery,
		.target = spec->target,
		.initiator = spec->initiator,
	};
	return want(l, &stord_discovery_class, &state, "%s", object->name);
}

static struct want *want_session(struct lowering *l, const struct object *object, const struct iscsi_spec *spec,
				 const struct endpoint *portal)
{
	struct session_state state = {
		.present = SESSION_TARGET | SESSION_PORTAL | SESSION_TIMEOUTS | SESSION_RECORD |
			   (spec->initiator ? SESSION_INITIATOR : 0) | (spec->chap.user ? SESSION_CHAP : 0) |
			   (spec->mutual.user ? SESSION_MUTUAL : 0),
		.target = spec->target,
		.portal = *portal,
		.initiator = spec->initiator,
		.chap = spec->chap,
		.mutual = spec->mutual,
		.timeouts = spec->timeouts,
		.record = true,
	};
	state.timeouts.present = UINT64_MAX >> (64 - iscsi_timeouts_table.n_fields);
	if (!state.timeouts.replacement)
		state.timeouts.replacement = has_multipath(spec) ? 5 * 1000 : 120 * 1000;
	struct want *session =
		want(l, &stord_session_class, &state, "%s/%s", object->name, portal_text(portal, lower_arena(l)));
	session->adopt = spec->adopt;
	session->spare = true;
	return session;
}

static bool iscsi_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct iscsi_spec *spec = own;
	bool discovers = is_set(spec, DISCOVERY_ROW);
	struct list portals = discovers ? discovered(l, object, spec) : spec->portals;
	struct want *discovery = discovers ? want_discovery(l, object, spec) : NULL;
	plan->legs = arena_alloc(lower_arena(l), (portals.n + 1) * sizeof(struct want *));
	for (size_t i = 0; i < portals.n; i++) {
		struct want *session = want_session(l, object, spec, &list_at(&portals, struct endpoint, i));
		rests_on(l, session, discovery);
		plan->legs[plan->n_legs++] = session;
	}
	plan->source = spec->target;
	plan->what = "target";
	plan->at = "spec.target";
	return true;
}

/* The sessions that this pool may use: its own, and others' where it adopts them. */
static int pool_sessions(const struct pool_call *call, struct iscsi_seen **ret, size_t *ret_n)
{
	const struct iscsi_spec *spec = call->state->own;
	size_t n = 0, kept = 0;
	int code = iscsi_sessions(ret, &n);
	for (size_t i = 0; !code && i < n; i++)
		if (streq((*ret)[i].target, spec->target) && (spec->adopt || iscsi_is_ours(&(*ret)[i])))
			(*ret)[kept++] = (*ret)[i];
	*ret_n = kept;
	return code;
}

static int iscsi_observe(const struct pool_call *call, struct pool_seen *ret)
{
	cleanup_free struct iscsi_seen *sessions = NULL;
	size_t n = 0;
	int code = pool_sessions(call, &sessions, &n);
	ret->exists = n;
	if (!n)
		snprintf(ret->note, sizeof(ret->note), "this host is logged in at no portal of target %s",
			 call->state->source);
	return code;
}

static int iscsi_probe(const struct pool_call *call)
{
	const struct iscsi_spec *spec = call->state->own;
	cleanup_free struct iscsi_seen *sessions = NULL;
	cleanup_arena struct arena *arena = arena_new();
	const char *portals = "";
	size_t n = 0;
	if (iscsi_count_alive(spec->target, !spec->adopt))
		return 0;
	int code = pool_sessions(call, &sessions, &n);
	for (size_t i = 0; i < n; i++)
		portals = arena_printf(arena, "%s%s%s", portals, *portals ? ", " : ": ",
				       portal_text(&sessions[i].portal, arena));
	return code ? code : say(ETIMEDOUT, "none of its portals answers%s", portals);
}

const struct pool_type stord_iscsi_pool = {
	.name = "iscsi",
	.doc = "the LUNs of an iSCSI target",
	.table = &iscsi_table,
	.check = iscsi_check,
	.lower = iscsi_lower,
	.observe = iscsi_observe,
	.on_device = true,
	.probe = iscsi_probe,
	.lun = iscsi_lun,
	.instead = "its LUNs are the target's; give one a name with a Lun ({pool: NAME, lun: NUMBER}), and attach that",
};
