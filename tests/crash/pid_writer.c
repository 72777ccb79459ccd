/*
 * Writers that all have one and the same process id, and whose threads have the same ids too; in a namespace of processes, whose first one this is.
 *
 *     pid_writer DIR WRITERS CALLS    each writer records so many calls, by two threads; the tokens count from 1 on, over all
 *
 * Every second writer is killed as soon as it has recorded; the others close. In between, a thread of a writer ends, and one with its id goes on.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usagelog.h"

enum { FIRST_ID = 100, TRIES_MAX = 10000 };

static void set_next_id(long id)
{
	char text[24];
	int bytes = snprintf(text, sizeof(text), "%ld", id - 1);
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)bytes) != bytes) {
		perror("ns_last_pid");
		_exit(1);
	}
	close(fd);
}

struct part {
	usagelog *log;
	uint32_t first, end;
	bool has_id; /* the thread had the id that it was to have */
	int error;
};

static void *record(void *arg)
{
	struct part *part = arg;
	struct usagelog_names names = {.provider = "provider", .model = "model"};
	part->has_id = syscall(SYS_gettid) == FIRST_ID + 1;
	for (uint32_t i = part->first; part->has_id && i < part->end && !part->error; i++)
		part->error = usagelog_record_names(part->log, &names, &(struct usagelog_call){.input_tokens = i});
	return NULL;
}

static void record_part(struct part *part)
{
	/* A thread that was joined may have its id for a moment yet. */
	for (int tries = 0; tries < TRIES_MAX && !part->has_id; tries++) {
		pthread_t thread;
		set_next_id(FIRST_ID + 1);
		if (pthread_create(&thread, NULL, record, part) || pthread_join(thread, NULL) || part->error)
			_exit(1);
	}
	if (!part->has_id)
		_exit(2);
}

static void be_writer(const char *path, uint32_t first, uint32_t calls, bool closes)
{
	usagelog *log;
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_NO_HELPER};
	if (getpid() != FIRST_ID || usagelog_open(&log, path, &options))
		_exit(1);
	struct part one = {.log = log, .first = first, .end = first + calls / 2};
	struct part two = {.log = log, .first = one.end, .end = first + calls};
	record_part(&one);
	record_part(&two);
	if (closes)
		_exit(usagelog_close(log, 10000) != 0);
	kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 16;
	uint32_t writers = (uint32_t)strtoul(argv[2], NULL, 10), calls = (uint32_t)strtoul(argv[3], NULL, 10);
	for (uint32_t i = 0; i < writers; i++) {
		int status;
		set_next_id(FIRST_ID);
		pid_t child = fork();
		if (!child)
			be_writer(argv[1], 1 + i * calls, calls, i % 2);
		if (waitpid(child, &status, 0) != child || status != (i % 2 ? 0 : SIGKILL)) {
			fprintf(stderr, "writer %u ended with status %x\n", i, (unsigned)status);
			return 1;
		}
	}
	return 0;
}
