/* SPDX-License-Identifier: Apache-2.0 */
/* What must be known of a guest's QEMU when weftd starts anew: a JSON file beside its sockets,
 * run_dir/guests/NAME/state.json. Another boot's is no more than a leftover.
 *
 *   {"boot": "...", "pid": 17, "start": 123, "spec": {...}, "taps": {"web.0": [21]},   it was started so
 *    "accel": "tcg", "accelReason": "...", "startedAt": "...", "version": "7.2.22",
 *    "stopping": true,                        it was asked to shut down: that it then does is no decision of the guest
 *    "off": "powered off by the guest"}       it is off, and stays so until a person starts it
 * Without pid: a start was begun and perhaps not ended.
 */
#ifndef WEFT_GUESTD_RECORD_H
#define WEFT_GUESTD_RECORD_H

#include <jansson.h>

#include "core/launch.h"

char *guest_path(const char *guest, const char *file); /* run_dir/guests/NAME/FILE, freed by the caller */
char *guest_unit(const char *guest);                   /* the service it runs in where systemd does, freed likewise */
json_t *record_load(const char *guest);                /* NULL if there is none of this boot */
int record_save(const char *guest, const json_t *record, struct err *err);
/* The record, the sockets and the directory are gone afterwards; logs too. */
void record_remove(const char *guest);

struct process_id record_process(const json_t *record);         /* pid 0: none */
const char *record_text(const json_t *record, const char *key); /* NULL if there is none */
/* The descriptors of a tap; returns how many (at most max). */
size_t record_tap_fds(const json_t *record, const char *tap, int *fds, size_t max);

#endif
