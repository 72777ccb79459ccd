/* The compactor's files. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "calendar.h"
#include "os.h"

/* ---- read -------------------------------------------------------------------------------------------------- */

/* Read it as long as it is: a file that grows or shrinks meanwhile is told by its checksum. */
static int read_whole(int fd, struct stored_file *file)
{
	struct stat found;
	int error = os_stat(fd, &found);
	if (error)
		return error;
	if (!S_ISREG(found.st_mode) || (uint64_t)found.st_size > STORE_FILE_BYTES_MAX) {
		file->state = FILE_DAMAGED;
		return 0;
	}
	file->bytes = os_allocate((size_t)found.st_size + 1, 1);
	if (!file->bytes)
		return -ENOMEM;
	ssize_t got = os_read(fd, file->bytes, (size_t)found.st_size, 0);
	if (got < 0)
		return (int)got;
	file->size_bytes = (size_t)got;
	file->state = FILE_SOUND;
	return 0;
}

void store_read_bytes(int directory, const char *name, struct stored_file *file)
{
	*file = (struct stored_file){.state = FILE_UNREADABLE};
	int fd = os_open(directory, name, O_RDONLY);
	if (fd == -ENOENT) {
		file->state = FILE_MISSING;
		return;
	}
	/* A link or a socket is nothing that a compactor wrote. */
	if (fd == -ELOOP || fd == -ENXIO) {
		file->state = FILE_DAMAGED;
		return;
	}
	file->error = fd < 0 ? fd : read_whole(fd, file);
	os_close(fd);
	if (file->error || file->state == FILE_DAMAGED) {
		free(file->bytes);
		file->bytes = NULL;
		file->size_bytes = 0;
	}
}

void store_read(int directory, const char *name, enum ul_container_kind kind, const struct ul_id *log_id,
		struct stored_file *file)
{
	static const enum file_state states[] = {[UL_CONTAINER_VALID] = FILE_SOUND,
						 [UL_CONTAINER_NEWER] = FILE_NEWER,
						 [UL_CONTAINER_DAMAGED] = FILE_DAMAGED};
	store_read_bytes(directory, name, file);
	if (file->state == FILE_SOUND)
		file->state = states[ul_container_open(&file->container, kind, file->bytes, file->size_bytes, log_id)];
}

void store_read_named(int directory, const char *name, enum ul_container_kind kind, const struct ul_id *log_id,
		      uint64_t checksum, struct stored_file *file)
{
	store_read(directory, name, kind, log_id, file);
	if (file->state == FILE_SOUND && file->container.header->checksum != checksum)
		file->state = FILE_DAMAGED;
}

void store_read_day(int directory, const struct ul_day *day, const struct ul_id *log_id, struct stored_file *file)
{
	char name[STORE_NAME_BYTES];
	store_fact_name(name, day->day, day->generation);
	store_read_named(directory, name, UL_CONTAINER_FACTS, log_id, day->checksum, file);
}

void stored_file_clear(struct stored_file *file)
{
	free(file->bytes);
	*file = (struct stored_file){0};
}

/* ---- write ------------------------------------------------------------------------------------------------- */

int store_lock(int directory)
{
	int fd = os_open(directory, "lock", O_RDWR | O_CREAT);
	if (fd < 0)
		return fd;
	int error = os_lock(fd);
	if (error) {
		os_close(fd);
		return error;
	}
	return fd;
}

/* Write and sync a file under this name, whatever was there. */
static int write_synced(int directory, const char *name, const void *bytes, size_t size_bytes)
{
	/* A left-over is unlinked rather than truncated: it may be linked elsewhere too. */
	int error = os_unlink(directory, name);
	if (error && error != -ENOENT)
		return error;
	int fd = os_open(directory, name, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	error = os_write(fd, bytes, size_bytes, 0);
	if (!error)
		error = os_sync(fd);
	os_close(fd);
	if (error)
		os_unlink(directory, name);
	return error;
}

int store_write(int directory, const char *name, const void *bytes, size_t size_bytes)
{
	char draft[NAME_MAX + 8];
	if ((size_t)snprintf(draft, sizeof(draft), "%s.new", name) > NAME_MAX)
		return -ENAMETOOLONG;
	int error = write_synced(directory, draft, bytes, size_bytes);
	if (error)
		return error;
	error = os_rename(directory, draft, name);
	if (error)
		os_unlink(directory, draft);
	return error;
}

/* Keep the checkpoint that is there under the name of the previous one, which never is missing meanwhile. */
static int keep_previous(int directory)
{
	int error = os_unlink(directory, "checkpoint.previous.new");
	if (error && error != -ENOENT)
		return error;
	error = os_link(directory, "checkpoint", "checkpoint.previous.new");
	if (error)
		return error == -ENOENT ? 0 : error; /* the first one, or the current one was set aside */
	error = os_rename(directory, "checkpoint.previous.new", "checkpoint.previous");
	if (error)
		return error;
	/* If both names led to one file already, rename() did nothing and says that it did. */
	error = os_unlink(directory, "checkpoint.previous.new");
	return error == -ENOENT ? 0 : error;
}

int store_commit(int directory, const void *bytes, size_t size_bytes)
{
	int error = os_sync(directory);
	if (!error)
		error = write_synced(directory, "checkpoint.new", bytes, size_bytes);
	if (!error)
		error = keep_previous(directory);
	if (!error)
		error = os_rename(directory, "checkpoint.new", "checkpoint");
	return error ? error : os_sync(directory);
}

int store_set_aside(int directory, const char *name, char renamed[2 * STORE_NAME_BYTES])
{
	time_t now = (time_t)(os_time_ns() / 1000000000);
	struct tm utc;
	char time_text[32];
	struct stat found;
	gmtime_r(&now, &utc);
	strftime(time_text, sizeof(time_text), "%Y%m%dT%H%M%SZ", &utc);
	for (unsigned i = 0; i < 1000; i++) {
		char suffix[16] = "";
		if (i)
			snprintf(suffix, sizeof(suffix), "-%u", i);
		int length = snprintf(renamed, 2 * STORE_NAME_BYTES, "%s.corrupted.%s%s", name, time_text, suffix);
		if (length < 0 || length >= 2 * STORE_NAME_BYTES)
			return -ENAMETOOLONG;
		int error = os_stat_at(directory, renamed, &found);
		if (error == -ENOENT)
			return os_rename(directory, name, renamed);
		if (error)
			return error;
	}
	return -EEXIST;
}

/* ---- names ------------------------------------------------------------------------------------------------- */

void store_fact_name(char out[STORE_NAME_BYTES], int32_t day, uint64_t generation)
{
	char text[CALENDAR_DAY_BYTES];
	calendar_print_day(text, day);
	snprintf(out, STORE_NAME_BYTES, "%s.%llu.facts", text, (unsigned long long)generation);
}

void store_ids_name(char out[STORE_NAME_BYTES], uint64_t generation)
{
	snprintf(out, STORE_NAME_BYTES, "%llu.ids", (unsigned long long)generation);
}

void store_prices_name(char out[STORE_NAME_BYTES], uint64_t generation)
{
	snprintf(out, STORE_NAME_BYTES, "%llu.prices", (unsigned long long)generation);
}

/* A generation followed by exactly `end`. */
static bool parse_generation(const char *text, const char *end, uint64_t *generation)
{
	uint64_t value = 0;
	if (*text < '1' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	*generation = value;
	return strcmp(text, end) == 0;
}

bool store_parse_fact_name(const char *name, int32_t *day, uint64_t *generation)
{
	return strlen(name) > 11 && calendar_parse_day(day, name) && name[10] == '.' &&
	       parse_generation(name + 11, ".facts", generation);
}

bool store_parse_ids_name(const char *name, uint64_t *generation)
{
	return parse_generation(name, ".ids", generation);
}

bool store_parse_prices_name(const char *name, uint64_t *generation)
{
	return parse_generation(name, ".prices", generation);
}

/* What stands before `ending`; false: the name ends otherwise. */
static bool cut_ending(const char *name, const char *ending, char stem[STORE_NAME_BYTES])
{
	size_t length = strlen(name), cut = strlen(ending);
	if (length <= cut || length - cut >= STORE_NAME_BYTES || strcmp(name + length - cut, ending) != 0)
		return false;
	memcpy(stem, name, length - cut);
	stem[length - cut] = '\0';
	return true;
}

static bool is_data_name(const char *name)
{
	int32_t day;
	uint64_t generation;
	return store_parse_fact_name(name, &day, &generation) || store_parse_ids_name(name, &generation) ||
	       store_parse_prices_name(name, &generation);
}

void store_base_name(char out[STORE_NAME_BYTES], const char *name)
{
	int length = snprintf(out, STORE_NAME_BYTES, "%s.base", name);
	assert(length > 0 && length < STORE_NAME_BYTES);
	(void)length;
}

bool store_parse_base_name(const char *name, char original[STORE_NAME_BYTES])
{
	return cut_ending(name, ".base", original) && is_data_name(original);
}

bool store_is_draft_name(const char *name)
{
	char stem[STORE_NAME_BYTES], original[STORE_NAME_BYTES];
	return cut_ending(name, ".new", stem) &&
	       (!strcmp(stem, "checkpoint") || !strcmp(stem, "checkpoint.previous") ||
		!strcmp(stem, "checkpoint.base") || is_data_name(stem) || store_parse_base_name(stem, original));
}

int store_list(int directory, int (*visit)(void *arg, const char *name), void *arg)
{
	DIR *stream;
	const char *name;
	int result = os_list(directory, &stream);
	if (result)
		return result;
	while ((result = os_list_next(stream, &name)) > 0) {
		result = visit(arg, name);
		if (result)
			break;
	}
	closedir(stream);
	return result;
}

bool store_is_reserved_name(const char *name)
{
	static const char *const names[] = {"log.conf", "lock", "import.lock"};
	static const char *const endings[] = {".seg", ".tmp", ".facts", ".ids", ".prices", ".base", ".new"};
	size_t length = strlen(name);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t ending = strlen(endings[i]);
		if (length >= ending && strcmp(name + length - ending, endings[i]) == 0)
			return true;
	}
	return strncmp(name, "checkpoint", strlen("checkpoint")) == 0;
}
