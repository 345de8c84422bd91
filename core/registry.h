/* SPDX-License-Identifier: Apache-2.0 */
/* The list of kinds and classes that the build wrote out of weft_kind() and weft_class() lines; see registry.c in the
 * build tree. */
#ifndef WEFT_CORE_REGISTRY_H
#define WEFT_CORE_REGISTRY_H

/* Registers all kinds and classes of this program. */
void registry_init(void);

#endif
