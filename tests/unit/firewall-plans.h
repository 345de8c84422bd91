/* SPDX-License-Identifier: Apache-2.0 */
/* A few networks, lowered into rules: for the golden texts and for the tests with the real iptables. */
#ifndef WEFT_TESTS_FIREWALL_PLANS_H
#define WEFT_TESTS_FIREWALL_PLANS_H

#include "core/lower.h"
#include "netd/rules.h"

enum { PLANS_MAX = 8 };
extern const char *const plan_names[PLANS_MAX]; /* NULL ends */

/* The generation of one of them; to be given back with generation_unref(). */
struct generation *plan_lower(const char *name);
/* The text for iptables-restore that makes its rules where there are none. */
char *plan_render(const struct generation *gen, enum family family);

#endif
