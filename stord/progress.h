/* SPDX-License-Identifier: Apache-2.0 */
/* How far an operation is whose work is done in a child: a page of memory that both see. The child says it as often as
 * it likes, the daemon looks when somebody asks. */
#ifndef WEFT_STORD_PROGRESS_H
#define WEFT_STORD_PROGRESS_H

#include "core/util.h"

struct progress;

struct progress *progress_new(void); /* in the daemon, before the child is started */
struct progress *progress_free(struct progress *progress);
/* "copying: 43 %", freed by the caller; NULL before anything was said, or if there is none. */
char *progress_text(const struct progress *progress);

/* A number that is another one once it is further. */
uint64_t progress_number(const struct progress *progress);

/* In the child: what is said from here on is of this one. */
void progress_use(struct progress *progress);
/* "copying", and how far: 0 to 100. Nobody listening is fine. The text is a literal. */
void progress_say(const char *doing, double percent);

#endif
