/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon and weft-launch say to each other. The launcher finds a unix socket as descriptor 3, or, run as
 * `weft-launch --unit` by systemd, as its standard input. One message comes over it: a single byte with descriptors
 * attached. The first descriptor is a memfd with the request: pairs of NUL-terminated strings, name and value, in any
 * order but argv's.
 *
 *     arg     one word of the command line; repeated. The first is the program, searched in PATH
 *     user    user to become; left out: root stays root
 *     groups  supplementary groups, comma separated
 *     log     file that stdout and stderr are appended to; left out: /dev/null
 *     net     "1": ambient CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE
 *     bind    "TO FROM": the program sees the directory FROM as TO, which is made if it is missing; repeated
 *     answer  "INDEX": descriptor INDEX of the message is a pipe to answer at; only with --unit
 *     file    "TARGET FLAGS MEMFD PATH": open PATH with FLAGS as descriptor TARGET; MEMFD 1: a sealed copy of it in
 *             memory
 *     lock    "TARGET BYTE PATH": open PATH as descriptor TARGET, with its byte BYTE locked
 *     fd      "TARGET INDEX": descriptor INDEX of the message (from 1) as TARGET
 *
 * The launcher answers on its standard output: "PID START\n" when the process exists, then "running\n" when exec has
 * happened, and exits with 0. Whatever goes wrong is one sentence on its standard error, and the errno is its exit
 * status. With --unit it answers at the pipe: "PID START\n" before exec, "!ERRNO SENTENCE\n" for what goes wrong; that
 * the pipe is closed means that exec has happened, or that the launcher has ended. */
#ifndef WEFT_CORE_LAUNCH_REQUEST_H
#define WEFT_CORE_LAUNCH_REQUEST_H

enum {
	LAUNCH_SOCKET = 3,
	LAUNCH_FDS_MAX = 200,         /* below the kernel's SCM_MAX_FD of 253 */
	LAUNCH_TARGET_MAX = 4095,     /* largest number a descriptor may be given */
	LAUNCH_REQUEST_MAX = 4 << 20, /* bytes */
};

#endif
