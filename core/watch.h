/* SPDX-License-Identifier: Apache-2.0 */
/* What watches of directories ask of inotify. sd-event keeps one watch for all sources of an inode, with the events of
 * all of them; an event that was read and that none of the sources then left asks for makes libsystemd (252) go round
 * for ever, without a system call. So all that may meet in one directory ask for the same, sort out what they do not
 * mind, and are never disabled or rate-limited, only dropped. */
#ifndef WEFT_CORE_WATCH_H
#define WEFT_CORE_WATCH_H

#include <sys/inotify.h>

enum {
	/* Files that come and go in a directory of others', whose changes are many. */
	WATCH_NAMES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF,
	/* In one of ours, what is written into them as well. */
	WATCH_FILES = WATCH_NAMES | IN_MODIFY | IN_CLOSE_WRITE,
};

#endif
