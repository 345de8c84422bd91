/* SPDX-License-Identifier: Apache-2.0 */
/* Walking the messages of a datagram. */
#ifndef WEFT_NETD_NETLINK_MESSAGE_H
#define WEFT_NETD_NETLINK_MESSAGE_H

#include <libmnl/libmnl.h>

#include "core/util.h"

/* Is there a whole message? Unlike mnl_nlmsg_ok(), which takes a length of 2 GiB or more for a negative one, and then
 * goes backwards. */
static inline bool netlink_message_ok(const struct nlmsghdr *message, int size)
{
	return size >= (int)sizeof(*message) && message->nlmsg_len >= sizeof(*message) &&
	       message->nlmsg_len <= (unsigned)size;
}

/* The positive errno of an answer, 0 for success. */
static inline int netlink_error_code(const struct nlmsgerr *answer)
{
	enum { ERRNO_MAX = 4095 };
	return answer->error >= -ERRNO_MAX && answer->error <= 0 ? -answer->error : EBADMSG;
}

#endif
