/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of `weft doctor` in netd. */
#ifndef WEFT_NETD_DOCTOR_H
#define WEFT_NETD_DOCTOR_H

#include "core/doctor.h"

/* Who else on this host works on links, addresses and rules. */
void netd_doctor_managers(struct doctor *d);
/* Which links of weft's somebody else has to do with. */
void netd_doctor_rivals(struct doctor *d);
/* Is this process in our network namespace? */
bool doctor_shares_network(const char *pid);

#endif
