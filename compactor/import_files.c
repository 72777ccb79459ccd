/* Operands to files. */
#include "import_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "os.h"

enum { DEPTH_MAX = 32, FILES_MAX = 1000000, PATH_BYTES = 4096 };

static int add_file(struct import_files *files, const char *path, bool below)
{
	if (files->count == files->room) {
		size_t room = 2 * files->room + 64;
		struct import_file *more = os_reallocate(files->files, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		files->files = more;
		files->room = room;
	}
	char *copy = os_duplicate(path);
	if (!copy || files->count == FILES_MAX) {
		free(copy);
		return copy ? -E2BIG : -ENOMEM;
	}
	files->files[files->count++] =
		(struct import_file){.path = copy, .below = below, .source.fd = -1, .bytes_max = UINT64_MAX};
	return 0;
}

static bool is_wanted(const char *name)
{
	static const char *const endings[] = {".json", ".jsonl", ".ndjson", ".csv"};
	size_t bytes = strlen(name);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t ending = strlen(endings[i]);
		if (bytes > ending && !strcmp(name + bytes - ending, endings[i]))
			return true;
	}
	return false;
}

static int walk(struct import_files *files, int directory, char path[PATH_BYTES], unsigned depth);

static int walk_entry(struct import_files *files, int directory, const char *name, char path[PATH_BYTES],
		      unsigned depth)
{
	struct stat found = {0};
	size_t before = strlen(path);
	if (*name == '.')
		return 0;
	if (snprintf(path + before, PATH_BYTES - before, "/%s", name) >= (int)(PATH_BYTES - before)) {
		path[before] = '\0';
		return -ENAMETOOLONG;
	}
	int error = os_stat_at(directory, name, &found);
	if (error == -ENOENT)
		error = 0; /* gone since it was listed */
	if (S_ISREG(found.st_mode) && is_wanted(name))
		error = add_file(files, path, true);
	if (S_ISDIR(found.st_mode)) {
		int below = os_open(directory, name, O_RDONLY | O_DIRECTORY);
		error = below < 0 ? below : walk(files, below, path, depth + 1);
		os_close(below);
	}
	if (!error)
		path[before] = '\0';
	return error;
}

/* All below a directory. After an error the path is what it is about. */
static int walk(struct import_files *files, int directory, char path[PATH_BYTES], unsigned depth)
{
	DIR *stream;
	const char *name;
	int error = depth < DEPTH_MAX ? os_list(directory, &stream) : -ELOOP, more;
	if (error)
		return error;
	while (!error && (more = os_list_next(stream, &name)))
		error = more < 0 ? more : walk_entry(files, directory, name, path, depth);
	closedir(stream);
	return error;
}

static int compare_paths(const void *left, const void *right)
{
	const struct import_file *a = left, *b = right;
	return strcmp(a->path, b->path);
}

static int add_directory(struct import_files *files, const char *operand)
{
	char path[PATH_BYTES];
	size_t first = files->count, bytes = strlen(operand);
	while (bytes > 1 && operand[bytes - 1] == '/')
		bytes--;
	if (bytes >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, operand, bytes);
	path[bytes] = '\0';
	int fd = os_open_directory(operand);
	int error = fd < 0 ? fd : walk(files, fd, path, 0);
	os_close(fd);
	if (error) {
		complain("%s: cannot be read: %s; nothing was recorded", path, strerror(-error));
		return STATUS_FILES;
	}
	if (files->count == first) {
		complain("%s: has no file whose name ends in .json, .jsonl, .ndjson or .csv", operand);
		return STATUS_FILES;
	}
	/* So that each import goes the same way. */
	qsort(files->files + first, files->count - first, sizeof(*files->files), compare_paths);
	return 0;
}

int import_files_add(struct import_files *files, const char *operand)
{
	struct stat found;
	if (strcmp(operand, "-") != 0 && !os_stat_path(operand, &found) && S_ISDIR(found.st_mode))
		return add_directory(files, operand);
	int error = add_file(files, operand, false);
	if (error)
		complain("%s: cannot be imported: %s", operand, strerror(-error));
	return error ? STATUS_FILES : 0;
}

void import_file_clear(struct import_file *file)
{
	import_source_close(&file->source);
	free(file->path);
}

void import_files_clear(struct import_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		import_file_clear(&files->files[i]);
	free(files->files);
	*files = (struct import_files){0};
}
