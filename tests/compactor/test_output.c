/*
 * While an answer is written to a file every call to the system fails, once or from then on. What was there is as it was or replaced as a whole, what
 * is no regular file stays what it is, and a success is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/fault_plan.h"
#include "os.h"
#include "output.h"

static const char before[] = "before\n", after[] = "after\n";
static char path[] = "/tmp/usagelog-output-XXXXXX";
static int place = -1, told = -1, saved = -1;

/* What is written to, and what it leads to, if that was there before. */
static const struct target {
	const char *name, *leads_to;
	mode_t kind;
	bool was_there;
} targets[] = {
	{"new", "new", S_IFREG, false},
	{"old", "old", S_IFREG, true},
	{"link", "old", S_IFLNK, true},
	{"pipe", "pipe", S_IFIFO, true},
};

static void make(const char *name, const char *text)
{
	int fd = openat(place, name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static bool holds(int fd, const char *text)
{
	char found[sizeof(before) + sizeof(after)];
	ssize_t got = read(fd, found, sizeof(found));
	return got == (ssize_t)strlen(text) && memcmp(found, text, (size_t)got) == 0;
}

static mode_t kind_of(const char *name)
{
	struct stat found;
	return fstatat(place, name, &found, AT_SYMLINK_NOFOLLOW) ? 0 : found.st_mode & S_IFMT;
}

/* Was this said since the last time? */
static bool was_told(const char *what)
{
	char text[1000] = "";
	ssize_t got = pread(told, text, sizeof(text) - 1, 0);
	assert_true(got >= 0 && ftruncate(told, 0) == 0 && lseek(told, 0, SEEK_SET) == 0);
	return strstr(text, what) != NULL;
}

/* Drafts that are there; one that could not be deleted is. */
static uint32_t drafts(void)
{
	uint32_t count = 0;
	DIR *directory = opendir(path);
	assert_non_null(directory);
	for (struct dirent *one = readdir(directory); one; one = readdir(directory))
		count += one->d_name[0] == '.' && strlen(one->d_name) > 4;
	closedir(directory);
	return count;
}

static uint32_t disturb(const struct target *target, int kind, uint32_t first, uint32_t count, int error)
{
	char command[100], name[100];
	struct output output;
	snprintf(command, sizeof(command), "rm -rf '%s'/* '%s'/.[!.]*", path, path);
	assert_int_equal(system(command), 0);
	make("old", before);
	assert_int_equal(symlinkat("old", place, "link") | mkfifoat(place, "pipe", 0600), 0);
	int pipe = openat(place, "pipe", O_RDWR | O_NONBLOCK);
	snprintf(name, sizeof(name), "%s/%s", path, target->name);
	fail_calls((enum os_call)kind, first, count, error);
	bool done = output_open(&output, name, false);
	if (done) {
		fputs(after, output.stream);
		done = output_close(&output, true);
	}
	fail_nothing();
	bool said = was_told("as it was");
	assert_true(drafts() == 0 || kind == OS_UNLINK);
	assert_int_equal(kind_of("link"), S_IFLNK);
	assert_int_equal(kind_of("pipe"), S_IFIFO);
	if (target->kind == S_IFIFO) {
		assert_true(holds(pipe, after) || !done);
	} else if (kind_of(target->leads_to)) {
		int fd = openat(place, target->leads_to, O_RDONLY);
		bool is_new = holds(fd, after);
		assert_true(is_new ? !said : !done);
		assert_true(is_new || (target->was_there && lseek(fd, 0, SEEK_SET) == 0 && holds(fd, before)));
		close(fd);
	} else {
		assert_true(!target->was_there && !done);
	}
	close(pipe);
	return plan.seen;
}

static void whole_or_as_it_was(void **state)
{
	uint32_t points = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		for (int kind = 0; kind < OS_CALLS; kind++) {
			uint32_t seen = disturb(&targets[i], kind, UINT32_MAX, 0, EIO);
			for (uint32_t n = 1; n <= seen; n++) {
				disturb(&targets[i], kind, n, 1, EIO);
				disturb(&targets[i], kind, n, UINT32_MAX, ENOMEM);
				points += 2;
			}
		}
	}
	print_message("%u points\n", points);
	assert_true(points > 40);
}

static int set_up(void **state)
{
	(void)state;
	os_fault = answer;
	place = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
	told = memfd_create("told", MFD_CLOEXEC);
	fflush(stderr);
	saved = dup(STDERR_FILENO);
	return place < 0 || saved < 0 || dup2(told, STDERR_FILENO) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[100];
	(void)state;
	os_fault = NULL;
	dup2(saved, STDERR_FILENO);
	close(place);
	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(whole_or_as_it_was)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
