/* SPDX-License-Identifier: Apache-2.0 */
/* The socket and its connections: libmicrohttpd, driven by the daemon's loop through its epoll descriptor and a timer.
 * Connections are accepted here, so that whoever may not use weft cannot keep others out. */
#include "api/api.h"

#include <systemd/sd-event.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api/call.h"
#include "core/env.h"

enum {
	BACKLOG = 1024,
	ACCEPTS_MAX = 64, /* a round */
	CONNECTIONS_MAX = 512,
	CONNECTION_MEMORY = 64 * 1024, /* of headers and buffers each */
	IDLE_S = 30,                   /* half a request, or a reader that has stopped */
	ACCEPT_PAUSE_US = 500000,      /* when no descriptors are left */
};
static const unsigned connections_max[N_ACCESS] = {[ACCESS_NONE] = 16, [ACCESS_VIEW] = 128, [ACCESS_FULL] = 368};

static struct {
	struct manager *manager;
	struct MHD_Daemon *mhd;
	int listen_fd;
	char *path;
	sd_event_source *accept, *io, *timer, *pause;
	bool kicked; /* a connection was resumed: MHD is to run again soon */
	unsigned n_connections[N_ACCESS];
} server = {.listen_fd = -1};

struct manager *api_manager(void)
{
	return server.manager;
}

/* ---- the loop ---- */

static void set_timer(void)
{
	MHD_UNSIGNED_LONG_LONG ms = 0;
	if (!server.kicked && MHD_get_timeout(server.mhd, &ms) != MHD_YES) {
		sd_event_source_set_enabled(server.timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(server.timer, ms * 1000);
	sd_event_source_set_enabled(server.timer, SD_EVENT_ONESHOT);
}

static void run(void)
{
	server.kicked = false;
	MHD_run(server.mhd);
	set_timer();
}

/* Without a listening socket of its own MHD does not watch the descriptor by which it wakes itself. */
void server_kick(void)
{
	server.kicked = true;
	if (server.mhd)
		set_timer();
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	run();
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t time_us, void *ctx)
{
	run();
	return 0;
}

/* ---- connections ---- */

/* Closes without a conversation: there are too many like it. Whether it is heard does not matter. */
static void turn_away(int fd)
{
	static const char message[] = "{\"message\":\"weftd has too many connections; try again in a while\"}";
	cleanup_free char *text = xprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
					  "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
					  sizeof(message) - 1, message);
	if (send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static int on_pause_end(sd_event_source *source, uint64_t time_us, void *ctx)
{
	sd_event_source_set_enabled(server.accept, SD_EVENT_ON);
	return 0;
}

static void accept_failed(int code)
{
	if (code != EMFILE && code != ENFILE && code != ENOBUFS && code != ENOMEM)
		return;
	/* The socket stays readable: without a pause the loop would spin. */
	sd_event_source_set_enabled(server.accept, SD_EVENT_OFF);
	sd_event_source_set_time_relative(server.pause, ACCEPT_PAUSE_US);
	sd_event_source_set_enabled(server.pause, SD_EVENT_ONESHOT);
}

static void take_connection(int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct peer peer;
	if (peer_read(fd, &peer) < 0) {
		close(fd);
	} else if (server.n_connections[peer.access] >= connections_max[peer.access]) {
		turn_away(fd);
		close(fd);
	} else {
		/* MHD closes it also when it fails. */
		MHD_add_connection(server.mhd, fd, (const struct sockaddr *)&address, sizeof(address));
	}
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t events, void *ctx)
{
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			accept_failed(errno);
			break;
		}
		take_connection(fd);
	}
	run();
	return 0;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		/* Stored as access + 1, so that NULL is nothing. */
		if (*socket_context)
			server.n_connections[(uintptr_t)*socket_context - 1]--;
		*socket_context = NULL;
		return;
	}
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer peer;
	if (!info || peer_read(info->connect_fd, &peer) < 0)
		return;
	server.n_connections[peer.access]++;
	*socket_context = (void *)((uintptr_t)peer.access + 1);
}

/* ---- start and stop ---- */

/* Made beside its place and moved there: a client never finds one that does not listen. That no other weftd is there is
 * the store's business. */
static int open_socket(struct err *err)
{
	server.path = xprintf("%s/weft.sock", env.run_dir);
	cleanup_free char *temporary = xprintf("%s.new", server.path);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(temporary) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG,
			       "%s is too long for a socket (%zu characters at most); choose a shorter --root",
			       server.path, sizeof(address.sun_path) - sizeof(".new"));
	strcpy(address.sun_path, temporary);
	server.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server.listen_fd < 0)
		return err_errno(err, errno, "make a socket");
	unlink(temporary);
	/* Everybody may connect: who may do what is told by the kernel, see peer.c. */
	if (bind(server.listen_fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(temporary, 0666) < 0 || listen(server.listen_fd, BACKLOG) < 0 || rename(temporary, server.path) < 0)
		return err_errno(err, errno, "listen at %s", server.path);
	return 0;
}

static int start_mhd(struct err *err)
{
	server.mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL,
				      NULL, call_access, NULL, MHD_OPTION_NOTIFY_COMPLETED, call_completed, NULL,
				      MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_CONNECTION_LIMIT,
				      (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
				      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	return server.mhd ? 0 : err_set(err, EIO, "start the HTTP server");
}

static int watch(struct err *err)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(server.mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return err_set(err, EIO, "the HTTP server has no epoll descriptor");
	int r = sd_event_add_io(env.loop, &server.accept, server.listen_fd, EPOLLIN, on_accept, NULL);
	if (r >= 0)
		r = sd_event_add_io(env.loop, &server.io, info->epoll_fd, EPOLLIN, on_io, NULL);
	if (r >= 0)
		r = sd_event_add_time_relative(env.loop, &server.timer, CLOCK_MONOTONIC, 0, 1000, on_timer, NULL);
	if (r >= 0)
		r = sd_event_source_set_enabled(server.timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time_relative(env.loop, &server.pause, CLOCK_MONOTONIC, 0, 1000, on_pause_end, NULL);
	if (r >= 0)
		r = sd_event_source_set_enabled(server.pause, SD_EVENT_OFF);
	return r < 0 ? err_errno(err, -r, "watch the API's socket") : 0;
}

int api_start(struct manager *manager, struct err *err)
{
	server.manager = manager;
	peer_setup();
	call_begin_all();
	int r = open_socket(err);
	if (r == 0)
		r = start_mhd(err);
	if (r == 0)
		r = watch(err);
	if (r < 0)
		api_stop();
	return r;
}

void api_stop(void)
{
	if (server.path && server.mhd)
		unlink(server.path);
	call_end_all();
	sd_event_source_disable_unref(server.accept);
	sd_event_source_disable_unref(server.io);
	sd_event_source_disable_unref(server.timer);
	sd_event_source_disable_unref(server.pause);
	if (server.mhd)
		MHD_stop_daemon(server.mhd);
	if (server.listen_fd >= 0)
		close(server.listen_fd);
	free(server.path);
	server = (typeof(server)){.listen_fd = -1};
}
