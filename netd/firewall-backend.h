/* SPDX-License-Identifier: Apache-2.0 */
/* Which iptables holds the host's rules, and tables of nftables that came to be only through us. Private to netd's
 * firewall. */
#ifndef WEFT_NETD_FIREWALL_BACKEND_H
#define WEFT_NETD_FIREWALL_BACKEND_H

#include "netd/rules.h"

enum backend { BACKEND_NFT, BACKEND_LEGACY, N_BACKENDS };
extern const char *const backend_names[N_BACKENDS];

/* Decided when first asked for, then kept: our rules are there from then on. */
enum backend firewall_backend(void);
/* Writes down which it is, before rules of ours are first put there: a weftd started later must look for them in the
 * same place. */
void firewall_backend_keep(void);
/* For tests: decide anew (-1) or fix it. */
void firewall_backend_set(int backend);
/* "iptables-nft-save": program of a family; verb "save" or "restore". */
const char *firewall_program(enum family family, const char *verb, char buf[static 40]);

/* nftables keeps the built-in tables and base chains that iptables-nft makes on first use. Before a text is committed,
 * note what of them is missing; afterwards they can be told from what was there before us. Kept in the runtime
 * directory, as they too are gone after a reboot. */
void firewall_note_missing(enum family family, const char *table);
/* Is there something noted that may be ours to take away? */
bool firewall_has_leftovers(void);
/* Takes away noted base chains and tables that are empty, accept everything and are used by nobody. Blocks; for a
 * forked child. Returns 0. */
int firewall_sweep(void *ctx, int out_fd);
/* Forgets what of the noted is not there any more; on the main thread, after the above. */
void firewall_forget_swept(void);

/* Called with the class whose resources may have changed by somebody else's doing. */
typedef void firewall_changed_fn(void *ctx, const char *class);

/* nft-events.c: calls fn soon, and not too often. */
int nft_events_start(firewall_changed_fn *fn, void *ctx, struct err *err);
void nft_events_stop(void);
/* Tells of a process whose changes are our own; 0 is ignored. */
void nft_events_own(int pid);

/* firewalld.c: calls fn when firewalld comes, goes, reloads or moves links; listens from the first operation on. */
void firewalld_start(firewall_changed_fn *fn, void *ctx);
void firewalld_stop(void);

#endif
