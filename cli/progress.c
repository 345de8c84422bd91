/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing how far a request is: it waits on a thread of its own, how it stands is asked for on another connection, and
 * lines are redrawn in place. Of a change of manifests they tell of the objects, of an order to a volume of itself.
 * What is done before anybody could read it is not drawn. */
#include <pthread.h>
#include <time.h>

#include "api/client.h"
#include "cli/change.h"
#include "cli/json.h"
#include "cli/terminal.h"

enum { FIRST_MS = 400, REDRAW_MS = 200, LINES_MAX = 12 };

/* Draws an answer; returns how many lines. */
struct request;
typedef size_t draw_fn(const struct request *request, const json_t *answer, unsigned turn);

struct request {
	struct client *client;
	const struct client_call *call;
	const char *ask, *what; /* what tells how far it is, and what to call it */
	draw_fn *draw;
	uint64_t since_ms;
	int status;
	json_t *answer;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void *run(void *ctx)
{
	struct request *request = ctx;
	request->status = client_request(request->client, request->call, &request->answer);
	pthread_mutex_lock(&request->lock);
	request->done = true;
	pthread_cond_signal(&request->changed);
	pthread_mutex_unlock(&request->lock);
	return NULL;
}

static bool wait_done(struct request *request, unsigned ms)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&request->lock);
	int r = 0;
	while (!request->done && r == 0)
		r = pthread_cond_timedwait(&request->changed, &request->lock, &until);
	bool done = request->done;
	pthread_mutex_unlock(&request->lock);
	return done;
}

/* One line that does not wrap; returns whether it was drawn. */
static void draw_line(const struct terminal *terminal, const char *sign, enum style style, const char *text)
{
	cleanup_free char *visible = text_visible(text, false);
	size_t room = terminal->width > 6 ? terminal->width - 4 : 1;
	size_t size = strlen(visible);
	while (size && text_columns(visible) > room)
		visible[--size] = '\0';
	fprintf(stderr, "%s%s%s %s\033[K\n", style_on(terminal, style), sign, style_off(terminal, style), visible);
}

/* "copying [########------------]  43 %" out of "copying: 43 %"; NULL if it says nothing of how far it is. */
static char *bar_of(const char *message)
{
	enum { CELLS = 20 };
	char cells[CELLS + 1];
	const char *colon = message ? strrchr(message, ':') : NULL;
	char *end = NULL;
	unsigned long percent = colon ? strtoul(colon + 1, &end, 10) : 0;
	if (!colon || end == colon + 1 || !streq(end, " %") || percent > 100)
		return NULL;
	for (size_t i = 0; i < CELLS; i++)
		cells[i] = i < percent * CELLS / 100 ? '#' : '-';
	cells[CELLS] = '\0';
	return xprintf("%.*s [%s] %3lu %%", (int)(colon - message), message, cells, percent);
}

static const char *spin(unsigned turn)
{
	static const char *const signs[] = {"|", "/", "-", "\\"};
	return signs[turn % ARRAY_SIZE(signs)];
}

/* Where nothing tells how far it is, that it goes on is seen by the time that it has taken. */
static size_t draw_order(const struct request *request, const json_t *answer, unsigned turn)
{
	struct terminal terminal = terminal_of(stderr);
	cleanup_free char *bar = bar_of(json_text(answer, "progress"));
	cleanup_free char *time = xprintf("%llu s", (unsigned long long)(now_ms() - request->since_ms) / 1000);
	cleanup_free char *text = xprintf("%s  %s", request->what, bar ? bar : time);
	draw_line(&terminal, spin(turn), STYLE_NOTE, text);
	return 1;
}

static size_t draw_objects(const struct request *request, const json_t *objects, unsigned turn)
{
	struct terminal terminal = terminal_of(stderr);
	size_t n = 0, n_ready = 0, i;
	json_t *object;
	json_array_foreach(objects, i, object) {
		n_ready += object_is_ready(object);
		if (object_is_ready(object) || n >= LINES_MAX)
			continue;
		cleanup_free char *label = object_label(object), *note = object_note(object);
		cleanup_free char *bar = bar_of(json_text(object_condition(object, "Progressing"), "message"));
		cleanup_free char *text = xprintf("%s  %s", label, bar ? bar : note ? note : "");
		draw_line(&terminal, "\u00b7", STYLE_WARN, text);
		n++;
	}
	cleanup_free char *text = xprintf("%zu of %zu objects are Ready", n_ready, json_array_size(objects));
	draw_line(&terminal, spin(turn), STYLE_NOTE, text);
	return n + 1;
}

static void watch(struct cli *cli, struct request *request)
{
	struct client *client = client_new(client_socket(cli->socket));
	const struct client_call ask = {"GET", request->ask, .timeout_ms = 2000};
	size_t n_lines = 0;
	for (unsigned turn = 0; !wait_done(request, turn ? REDRAW_MS : FIRST_MS); turn++) {
		json_t *answer = NULL;
		if (client_request(client, &ask, &answer) == 200) {
			if (n_lines)
				fprintf(stderr, "\033[%zuA\033[J", n_lines);
			n_lines = request->draw(request, answer, turn);
			fflush(stderr);
		}
		json_decref(answer);
	}
	if (n_lines)
		fprintf(stderr, "\033[%zuA\033[J", n_lines);
	client_free(client);
}

static int draw_while(struct cli *cli, struct request *request, json_t **ret)
{
	pthread_t thread;
	request->client = cli_client(cli);
	request->since_ms = now_ms();
	pthread_mutex_init(&request->lock, NULL);
	pthread_cond_init(&request->changed, NULL);
	if (pthread_create(&thread, NULL, run, request) != 0)
		return client_request(request->client, request->call, ret);
	watch(cli, request);
	pthread_join(thread, NULL);
	*ret = request->answer;
	return request->status;
}

int progress_request(struct cli *cli, const struct client_call *call, json_t **ret)
{
	return draw_while(cli, &(struct request){.call = call, .ask = "/v1/objects", .draw = draw_objects}, ret);
}

int progress_order(struct cli *cli, const struct client_call *call, const struct progress_of *of, json_t **ret)
{
	return draw_while(cli, &(struct request){.call = call, .ask = of->path, .what = of->what, .draw = draw_order},
			  ret);
}
