/* SPDX-License-Identifier: Apache-2.0 */
/* A lane in front of the real ones, for tests: before the n-th operation that changes something (counted over all lanes
 * so wrapped, and told of on stderr) it fails it, delays it, or stops for good, as if weftd were about to be killed
 * there. */
#ifndef WEFT_CORE_LANE_FAULT_H
#define WEFT_CORE_LANE_FAULT_H

#include "core/engine.h"

/* Reads "count" (tells of every operation and changes nothing), "stop:N", "fail:N[:ERRNO]", "delay:N:MS"; N from 1.
 * -EINVAL with a sentence. Without it lane_fault_wrap() gives the lane back as it is. */
int lane_fault_setup(const char *text, struct err *err);
/* Takes the lane. */
struct lane *lane_fault_wrap(struct lane *inner);

#endif
