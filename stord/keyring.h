/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets that are one of several in a file, as in keyrings of Ceph. */
#ifndef WEFT_STORD_KEYRING_H
#define WEFT_STORD_KEYRING_H

#include "core/secret.h"

/* In a child only: reads the secret and in it the key of an owner ("client.weft"), or, where it is no keyring, all of
 * it. The key is part of the secret, which the caller wipes. */
int keyring_read(const struct secret_ref *ref, const char *owner, struct secret *secret, const char **ret_key,
		 struct err *err);
/* The same out of one that was read; NULL if there is no such key. Changes the text. */
const char *keyring_find(struct secret *secret, const char *owner);

#endif
