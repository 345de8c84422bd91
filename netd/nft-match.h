/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a statement of nftables, in its JSON form, applies to a packet of which a few things are known. */
#ifndef WEFT_NETD_NFT_MATCH_H
#define WEFT_NETD_NFT_MATCH_H

#include <jansson.h>

#include "core/value.h"

/* NULL or 0: not known. */
struct packet {
	const char *bridge; /* of the network that is asked for */
	bool six;
	const char *iifname, *oifname;
	const char *protocol; /* "udp" */
	unsigned sport, dport;
	const char *icmp;  /* type */
	const char *state; /* of its connection */
	const struct ip *source, *destination;
};

enum match_is { MATCH_NO, MATCH_MAYBE, MATCH_YES };
struct match {
	enum match_is is;
	bool mentions; /* it speaks of the network: its bridge, its addresses, or a named set that may hold them */
};
/* Both must apply. */
void match_and(struct match *match, enum match_is is, bool mentions);
/* Adds what a statement asks for; statements that ask for nothing (counter, log, verdicts) change nothing. */
void match_statement(const struct packet *packet, const json_t *statement, struct match *match);
/* Does the expression have this value, set, range or prefix? */
struct match match_value(const struct packet *packet, const json_t *left, const json_t *right);

#endif
