/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's administrator allows the manifests. Lowering asks. */
#ifndef WEFT_NETD_HOST_POLICY_H
#define WEFT_NETD_HOST_POLICY_H

#include "core/lower.h"

/* May this object, whose spec.vni it is, have a network of this number? Refuses it if not. */
bool host_policy_allows_vni(struct lowering *l, uint32_t vni);

#endif
