/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Team, which is refused: the kernel's team driver needs a daemon beside it that is no longer kept, and a Bond
 * does the same. It is a kind so that whoever writes one is told; those of others are left alone. */
#include "netd/link-common.h"
#include "netd/link.h"

extern const struct kind netd_team_kind;

struct team_spec {
	struct link_common common; /* as every kind has whose name is a link's */
	const char *runner;
};

static const struct field team_rows[] = {
	F_STRING("runner", struct team_spec, runner, .doc = "Refused; write a Bond's mode.", .example = "lacp"),
};
static const struct table team_table = TABLE("Team", struct team_spec, team_rows);

static void team_check(const struct check *check)
{
	struct diag *diag = check_fault(check, "kind", "weft makes no Teams, whose daemon nobody keeps any more");
	diag_hint(check->diags, diag,
		  "write kind: Bond; the runner lacp is its mode 802.3ad, activebackup active-backup, "
		  "loadbalance balance-xor, roundrobin balance-rr");
}

static void team_lower(struct lowering *l, const struct object *object)
{
	/* check() has refused it. */
}

extern const struct link_kind link_team;
const struct link_kind link_team = {
	.name = "team",
	.object = &netd_team_kind,
	.kernel_name = "team",
	.passing = "it is a team, whose daemon nobody keeps any more; a Bond does the same",
	.takes_ports = true,
};

const struct kind netd_team_kind = {
	.name = "Team",
	.plural = "teams",
	.doc = "Refused: write a Bond, which does the same without a daemon beside the kernel.",
	.flags = KIND_NAME_IS_IFNAME | KIND_IS_REFUSED,
	.table = &team_table,
	.check = team_check,
	.lower = team_lower,
};
