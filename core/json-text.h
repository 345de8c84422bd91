/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the host (names, what programs say, sentences that were cut) as JSON, which has to be UTF-8. */
#ifndef WEFT_CORE_JSON_TEXT_H
#define WEFT_CORE_JSON_TEXT_H

#include <jansson.h>

/* As json_string(), with '?' for each byte that is no UTF-8. NULL gives NULL. */
json_t *json_host_text(const char *text);

#endif
