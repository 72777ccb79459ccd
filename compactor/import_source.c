/* The file that is imported. */
#include "import_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "os.h"

enum { COPY_BYTES = 65536 };

static int copy_all(int from, int to)
{
	char block[COPY_BYTES];
	uint64_t offset = 0;
	for (;;) {
		ssize_t got = os_read_next(from, block, sizeof(block));
		if (got <= 0)
			return (int)got;
		int error = os_write(to, block, (size_t)got, offset);
		if (error)
			return error;
		offset += (uint64_t)got;
	}
}

/* A file without a name, gone with the process, for what may hold prompts: never in the log's directory. */
static int open_temporary(void)
{
	const char *directory = getenv("TMPDIR");
	return os_open_temporary(directory && *directory == '/' ? directory : "/tmp");
}

static int spool(struct import_source *source, const char *name)
{
	int fd = open_temporary();
	int error = fd < 0 ? fd : copy_all(source->fd, fd);
	if (error) {
		os_close(fd);
		complain("%s: cannot be copied to a temporary file, which all but --format csv and jsonl need, "
			 "as do --all-or-nothing and the --map of JSON: %s; nothing was recorded; set TMPDIR to where "
			 "there is room",
			 name, strerror(-error));
		return STATUS_FILES;
	}
	import_source_close(source);
	*source = (struct import_source){.fd = fd, .bytes = UINT64_MAX, .seekable = true, .stays = true};
	return 0;
}

/* What a path is: only what has bytes to read is taken. */
static int look_at(struct import_source *source, const char *name)
{
	struct stat found;
	int error = os_stat(source->fd, &found);
	if (!error && S_ISDIR(found.st_mode))
		error = -EISDIR;
	if (error) {
		complain("%s: cannot be read: %s", name, strerror(-error));
		return STATUS_FILES;
	}
	int64_t start = os_seek(source->fd, 0, SEEK_CUR);
	source->seekable = S_ISREG(found.st_mode) && start >= 0;
	if (source->seekable) {
		source->start = (uint64_t)start;
		source->bytes_expected = found.st_size > start ? (uint64_t)(found.st_size - start) : 0;
		posix_fadvise(source->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	return 0;
}

int import_source_open(struct import_source *source, const char *operand, bool twice, bool below)
{
	bool standard = !strcmp(operand, "-");
	const char *name = standard ? "(standard input)" : operand;
	*source = (struct import_source){.bytes = UINT64_MAX};
	/* The user's own file, under any name: a link is followed, unlike in the log, and below a directory. */
	source->fd =
		standard ? os_duplicate_fd(STDIN_FILENO) : os_open_any(operand, below ? O_NOFOLLOW | O_NONBLOCK : 0);
	if (source->fd < 0) {
		complain("%s: cannot be opened: %s", name, strerror(-source->fd));
		return STATUS_FILES;
	}
	int status = look_at(source, name);
	source->stays = standard || !source->seekable;
	if (!status && twice && !source->seekable)
		status = spool(source, name);
	if (status)
		import_source_close(source);
	return status;
}

void import_source_close(struct import_source *source)
{
	if (source->fd >= 0)
		os_close(source->fd);
	source->fd = -1;
}

int import_source_rewind(struct import_source *source)
{
	bool first = !source->moved;
	source->moved = true;
	if (!source->seekable)
		return first ? 0 : -ESPIPE;
	int64_t found = os_seek(source->fd, (int64_t)source->start, SEEK_SET);
	return found < 0 ? (int)found : 0;
}
