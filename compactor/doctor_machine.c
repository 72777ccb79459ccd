/* What a log's programs find on this machine: io_uring or not, limits, filesystems, permissions. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend.h"
#include "doctor.h"
#include "money.h"
#include "os.h"

enum {
	SEGMENT_BYTES = 64 << 20,           /* the library's default */
	FREE_BYTES_MIN = 4 * SEGMENT_BYTES, /* a segment and the next one, of two programs */
	FREE_INODES_MIN = 1000,
	DESCRIPTORS_MIN = 64,
	LINE_BYTES = 4096,
};

/* ---- io_uring -------------------------------------------------------------------------------------------------- */

/* A file of /proc, line by line; NULL: it cannot be read. */
static FILE *open_lines(const char *path)
{
	int fd = os_open_any(path, 0);
	FILE *file = fd < 0 ? NULL : os_stream(fd, "r");
	if (!file)
		os_close(fd);
	return file;
}

/* What a line of a file of /proc has behind a word; false: there is no such line. */
static bool find_line(const char *path, const char *word, char out[LINE_BYTES])
{
	FILE *file = open_lines(path);
	bool found = false;
	while (file && !found && fgets(out, LINE_BYTES, file))
		found = !strncmp(out, word, strlen(word));
	if (file)
		fclose(file);
	if (!found)
		return false;
	char *at = out + strlen(word);
	at += strspn(at, " \t");
	at[strcspn(at, "\n")] = '\0';
	memmove(out, at, strlen(at) + 1);
	return true;
}

/* Why the kernel refused it. */
static void explain_refusal(int error, char out[LINE_BYTES])
{
	char value[LINE_BYTES];
	if (find_line("/proc/sys/kernel/io_uring_disabled", "", value) && strcmp(value, "0") != 0)
		snprintf(out, LINE_BYTES, "the setting kernel.io_uring_disabled is %.8s", value);
	else if ((error == -EPERM || error == -ENOSYS) && find_line("/proc/self/status", "Seccomp:", value) &&
		 strcmp(value, "0") != 0)
		snprintf(out, LINE_BYTES, "a seccomp filter, such as a container's, forbids it");
	else if (error == -ENOSYS)
		snprintf(out, LINE_BYTES, "this kernel has none");
	else if (error == -EINVAL)
		snprintf(out, LINE_BYTES, "it takes Linux 6.1");
	else if (error == -ENOMEM)
		snprintf(out, LINE_BYTES, "the limit of locked memory (ulimit -l) is too low");
	else
		snprintf(out, LINE_BYTES, "%s", strerror(-error));
}

/* A ring is made as the library makes one, and closed. */
static int probe_uring(void)
{
	struct ul_backend backend = {.kind = &ul_backend_uring, .fd = -1};
	int event = os_event();
	if (event < 0)
		return event;
	int error = ul_backend_uring.open(&backend, event);
	if (!error)
		ul_backend_uring.close(&backend);
	os_close(event);
	return error;
}

static void look_at_backend(struct doctor *doctor)
{
	const char *wish = getenv("USAGELOG_BACKEND");
	char why[LINE_BYTES];
	if (wish && !strcmp(wish, "syscall")) {
		doctor_say(doctor, "backend", CHECK_NOTE,
			   "system calls, because USAGELOG_BACKEND says so; same results, same guarantees");
		return;
	}
	int error = probe_uring();
	if (!error) {
		doctor_say(doctor, "backend", CHECK_OK, "io_uring: a ring was made as the library makes one");
		return;
	}
	explain_refusal(error, why);
	doctor_say(doctor, "backend", CHECK_NOTE,
		   "system calls, because io_uring is refused: %s; same results, same guarantees, by a thread that "
		   "makes one call after the other",
		   why);
}

/* ---- limits ---------------------------------------------------------------------------------------------------- */

static void show_limit(char out[MONEY_SHOWN_BYTES], rlim_t limit, bool bytes)
{
	if (limit == RLIM_INFINITY)
		snprintf(out, MONEY_SHOWN_BYTES, "unlimited");
	else if (bytes)
		size_show(out, limit);
	else
		count_show(out, (int64_t)limit);
}

static void look_at_limits(struct doctor *doctor)
{
	static const struct {
		int resource;
		const char *name, *option, *what;
		rlim_t least;
		bool bytes;
	} limits[] = {
		{RLIMIT_FSIZE, "file size", "-f",
		 "a segment is up to 64 MiB; beyond the limit calls go to the fallbacks", SEGMENT_BYTES, true},
		{RLIMIT_NOFILE, "open files", "-n", "a log takes a few descriptors of each program", DESCRIPTORS_MIN,
		 false},
		{RLIMIT_MEMLOCK, "locked memory", "-l", "", 0, true},
	};
	char texts[sizeof(limits) / sizeof(limits[0])][MONEY_SHOWN_BYTES];
	size_t low = 0;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
		getrlimit(limits[i].resource, &limit);
		show_limit(texts[i], limit.rlim_cur, limits[i].bytes);
		if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= limits[i].least)
			continue;
		low++;
		doctor_say(doctor, "limits", CHECK_WARNING, "%s: %s (ulimit %s); %s; raise it", limits[i].name,
			   texts[i], limits[i].option, limits[i].what);
	}
	if (!low)
		doctor_say(doctor, "limits", CHECK_OK,
			   "file size %s, open files %s, locked memory %s, for programs started as this one was",
			   texts[0], texts[1], texts[2]);
}

void doctor_look_at_machine(struct doctor *doctor)
{
	look_at_backend(doctor);
	look_at_limits(doctor);
}

/* ---- directories ----------------------------------------------------------------------------------------------- */

/* A directory of the log, and what its checks are called. */
struct place {
	const char *path;
	int fd;
	bool own; /* not a fallback */
	struct stat found;
};

/* The device in a line of the table of mounts: behind two numbers. */
static dev_t device_of(const char *line)
{
	char *end;
	const char *at = line;
	for (int i = 0; i < 2; i++) {
		at += strcspn(at, " \n");
		at += strspn(at, " ");
	}
	unsigned long device_major = strtoul(at, &end, 10);
	return makedev(device_major, *end == ':' ? strtoul(end + 1, NULL, 10) : 0);
}

/* The type of the filesystem by the table of mounts: of several on one device, the last. */
static void find_type(const struct place *place, char type[64])
{
	char line[LINE_BYTES];
	FILE *file = open_lines("/proc/self/mountinfo");
	snprintf(type, 64, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		char *behind = strstr(line, " - ");
		if (!behind || device_of(line) != place->found.st_dev)
			continue;
		behind += strlen(" - ");
		snprintf(type, 64, "%.*s", (int)strcspn(behind, " \n"), behind);
	}
	if (file)
		fclose(file);
}

static void look_at_filesystem(struct doctor *doctor, const struct place *place)
{
	static const struct {
		const char *type, *why;
	} passing[] = {{"tmpfs", "what is in it is gone when the machine restarts"},
		       {"ramfs", "what is in it is gone when the machine restarts"},
		       {"overlay", "what is in it goes with the container; mount a volume for the log"}};
	const char *remote, *why = NULL;
	char type[64];
	find_type(place, type);
	if (os_is_remote(place->fd, &remote) == 1) {
		doctor_say(doctor, "filesystem", CHECK_WARNING,
			   "%s: %s, a network or FUSE filesystem, on which locks, mappings and syncs promise nothing; "
			   "programs refuse it unless told to; move the log to a local disk",
			   place->path, remote);
		return;
	}
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
		if (!strcmp(type, passing[i].type))
			why = passing[i].why;
	if (why)
		doctor_say(doctor, "filesystem", CHECK_WARNING, "%s: %s, where %s", place->path, type, why);
	else
		doctor_say(doctor, "filesystem", CHECK_OK, "%s: %s, local", place->path, type);
}

static void look_at_space(struct doctor *doctor, const struct place *place)
{
	struct statvfs space;
	char bytes[MONEY_SHOWN_BYTES], inodes[MONEY_SHOWN_BYTES];
	if (fstatvfs(place->fd, &space)) {
		doctor_say(doctor, "space", CHECK_WARNING, "%s: cannot be told: %s", place->path, strerror(errno));
		return;
	}
	uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
	size_show(bytes, free_bytes);
	count_show(inodes, (int64_t)space.f_favail);
	if (place->own)
		doctor->figures.free_bytes = (int64_t)free_bytes;
	if (space.f_flag & ST_RDONLY)
		doctor_say(doctor, "space", CHECK_WARNING,
			   "%s: the filesystem is mounted to read only; nothing can be recorded there", place->path);
	else if (free_bytes < FREE_BYTES_MIN)
		doctor_say(doctor, "space", CHECK_WARNING,
			   "%s: %s free; a segment takes 64 MiB, and the next one is made ready beside it; make room",
			   place->path, bytes);
	else if (space.f_files && space.f_favail < FREE_INODES_MIN)
		doctor_say(doctor, "space", CHECK_WARNING,
			   "%s: %s inodes free; no more files can be made soon; make room", place->path, inodes);
	else if (space.f_files)
		doctor_say(doctor, "space", CHECK_OK, "%s: %s and %s inodes free", place->path, bytes, inodes);
	else
		doctor_say(doctor, "space", CHECK_OK, "%s: %s free", place->path, bytes);
}

static void look_at_permissions(struct doctor *doctor, const struct place *place)
{
	unsigned mode = place->found.st_mode & 07777;
	uid_t owner = place->found.st_uid, user = geteuid();
	if (mode & 022 && !(mode & S_ISVTX && !place->own))
		doctor_say(doctor, "permissions", CHECK_WARNING,
			   "%s: mode %04o: others may write to it, and so change and delete calls; chmod 700",
			   place->path, mode);
	else if (owner != user && user)
		doctor_say(doctor, "permissions", CHECK_WARNING,
			   "%s: belongs to user %u, and this is user %u; a log is of one user", place->path, owner,
			   user);
	else if (faccessat(AT_FDCWD, place->path, W_OK | X_OK, AT_EACCESS))
		doctor_say(doctor, "permissions", CHECK_WARNING, "%s: mode %04o: cannot be written to by this user: %s",
			   place->path, mode, strerror(errno));
	else if (mode & 044)
		doctor_say(doctor, "permissions", CHECK_NOTE,
			   "%s: mode %04o, of user %u: others may see models, costs and attributes; chmod 700 if that "
			   "is not meant",
			   place->path, mode, owner);
	else
		doctor_say(doctor, "permissions", CHECK_OK, "%s: mode %04o, of user %u", place->path, mode, owner);
}

static void look_at_place(struct doctor *doctor, const struct place *place)
{
	look_at_permissions(doctor, place);
	look_at_filesystem(doctor, place);
	look_at_space(doctor, place);
}

static void look_at_fallback(struct doctor *doctor, const char *path, const struct place *own)
{
	struct place place = {.path = path, .fd = os_open_directory(path)};
	if (place.fd == -ENOENT) {
		doctor_say(doctor, "fallback", CHECK_NOTE, "%s: is not there; it is made when it is needed", path);
		return;
	}
	int error = place.fd < 0 ? place.fd : os_stat(place.fd, &place.found);
	if (error) {
		doctor_say(doctor, "fallback", CHECK_WARNING, "%s: cannot be looked at: %s", path, strerror(-error));
		os_close(place.fd);
		return;
	}
	if (place.found.st_dev == own->found.st_dev)
		doctor_say(doctor, "fallback", CHECK_NOTE,
			   "%s: on the same filesystem as the log: when that is full, this is no way out", path);
	look_at_place(doctor, &place);
	os_close(place.fd);
}

void doctor_look_at_directories(struct doctor *doctor, const struct ul_directory *directory)
{
	struct place own = {.path = directory->path, .fd = directory->fd, .own = true};
	if (os_stat(directory->fd, &own.found)) {
		doctor_say(doctor, "permissions", CHECK_WARNING, "%s: cannot be looked at", directory->path);
		return;
	}
	look_at_place(doctor, &own);
	for (size_t i = 0; i < directory->conf.fallback_count; i++)
		look_at_fallback(doctor, directory->conf.fallbacks[i], &own);
	if (!directory->conf.fallback_count)
		doctor_say(doctor, "fallback", CHECK_NOTE,
			   "none: when the directory cannot be written to, each program holds 512 calls in memory and "
			   "drops the rest; usagelog config fallback_directories DIR names one on another disk");
}
