/* SPDX-License-Identifier: Apache-2.0 */
/* The host goes down, or somebody wants it to be without guests for a while. What is wanted of the guests does not
 * change by it, and nothing is stored: after a boot, or when weftd is started anew, they are started as ever. */
#ifndef WEFT_GUESTD_HOST_DOWN_H
#define WEFT_GUESTD_HOST_DOWN_H

#include <stdbool.h>

/* Guests are not to be started. */
bool host_is_down(void);
/* What is said of a guest that is off for that. */
extern const char host_down_note[];
/* Forgets it, and who waits. */
void host_down_stop(void);

#endif
