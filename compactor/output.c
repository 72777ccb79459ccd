/* Where an answer goes. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "os.h"
#include "store.h"
#include "usagelog.h"

static bool refuse(struct output *output, int error)
{
	complain("%s: cannot be written: %s; it is as it was", output->path, usagelog_strerror(error));
	return false;
}

/* Give the draft the mode of the file that is replaced, else that of any file that the user makes. */
static int set_mode(const struct output *output, int fd)
{
	struct stat found;
	if (output->is_private)
		return 0;
	int error = os_stat_at(output->directory, output->name, &found);
	if (error && error != -ENOENT)
		return error;
	mode_t mode = found.st_mode & 0777;
	if (error) {
		mode_t mask = umask(0);
		umask(mask);
		mode = 0666 & ~mask;
	}
	return fchmod(fd, mode) ? -errno : 0;
}

/* Begin the file under another name beside its own, which ends in ".tmp" so that nobody who looks for files of its kind takes it. */
static int begin_draft(struct output *output)
{
	uint64_t random;
	int error = os_random(&random, sizeof(random));
	if (error)
		return error;
	if (snprintf(output->draft, sizeof(output->draft), ".%.200s.%016" PRIx64 ".tmp", output->name, random) < 0)
		return -EINVAL;
	/* A file that grows beyond the limit is an error like a disk that is full, and no death that leaves a draft. */
	signal(SIGXFSZ, SIG_IGN);
	int fd = os_open(output->directory, output->draft, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	error = set_mode(output, fd);
	output->stream = error ? NULL : os_stream(fd, "w");
	if (output->stream)
		return 0;
	error = error ? error : -ENOMEM;
	os_close(fd);
	os_unlink(output->directory, output->draft);
	return error;
}

/* The directory and the name of what the path leads to, over links; if nothing is there, of the path itself. */
static int find_place(struct output *output, bool is_there)
{
	char *target = is_there ? os_resolve(output->path) : NULL;
	if (is_there && !target)
		return -ENOMEM;
	const char *path = target ? target : output->path, *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	int error = 0;
	if (!*name || strlen(name) > NAME_MAX) {
		error = *name ? -ENAMETOOLONG : -EISDIR;
	} else {
		memcpy(output->name, name, strlen(name) + 1);
		char *directory =
			slash ? os_duplicate_part(path, slash == path ? 1 : (size_t)(slash - path)) : os_duplicate(".");
		output->directory = directory ? os_open_directory(directory) : -ENOMEM;
		error = output->directory < 0 ? output->directory : 0;
		free(directory);
	}
	free(target);
	return error;
}

/* Would the file be one of those that make a log? */
static bool is_log_file(const struct output *output)
{
	struct stat found;
	return store_is_reserved_name(output->name) && os_stat_at(output->directory, "log.conf", &found) != -ENOENT;
}

bool output_open(struct output *output, const char *path, bool is_private)
{
	struct stat found;
	*output = (struct output){.stream = stdout, .path = path, .directory = -1, .is_private = is_private};
	if (!path)
		return true;
	/* What cannot be looked at might be a device or a pipe, and is not replaced. */
	int error = os_stat_path(path, &found);
	if (error && error != -ENOENT)
		return refuse(output, error);
	if (!error && !S_ISREG(found.st_mode)) {
		int fd = os_open_any(path, O_WRONLY);
		output->stream = fd < 0 ? NULL : os_stream(fd, "w");
		if (!output->stream)
			os_close(fd);
		return output->stream || refuse(output, fd < 0 ? fd : -ENOMEM);
	}
	error = find_place(output, !error);
	if (!error && is_log_file(output)) {
		complain("%s: is a file of a log itself and is not overwritten; name another file", path);
		os_close(output->directory);
		return false;
	}
	if (!error)
		error = begin_draft(output);
	if (!error)
		return true;
	os_close(output->directory);
	return refuse(output, error);
}

bool output_close(struct output *output, bool whole)
{
	if (!output->path)
		return true; /* main() looks whether all was printed */
	int error = fflush(output->stream) || ferror(output->stream) ? -(errno ? errno : EIO) : 0, late_error = 0;
	const bool in_place = output->directory < 0;
	if (!in_place) {
		/* The draft takes the file's place. */
		if (!error && whole)
			error = os_sync(fileno(output->stream));
		if (!error && whole)
			error = os_rename(output->directory, output->draft, output->name);
		if (error || !whole)
			os_unlink(output->directory, output->draft);
		else
			late_error = os_sync(output->directory);
		os_close(output->directory);
	}
	fclose(output->stream);
	if (error && in_place)
		complain("%s: cannot be written: %s; what went there is not whole", output->path,
			 usagelog_strerror(error));
	else if (error)
		refuse(output, error);
	else if (late_error)
		complain("%s: is written, but its directory cannot be synced: %s; a loss of power may undo it",
			 output->path, usagelog_strerror(late_error));
	return !error && !late_error;
}

bool output_write(const char *path, const void *bytes, size_t size_bytes)
{
	struct output output;
	if (!output_open(&output, path, true))
		return false;
	fwrite(bytes, 1, size_bytes, output.stream);
	return output_close(&output, true);
}
