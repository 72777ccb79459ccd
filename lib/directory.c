/* A log's directory: finding it, making it, its settings, its segment files. */
#include "directory.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"
#include "slot.h"

static const char conf_name[] = "log.conf";
static const char zone_directory[] = "/usr/share/zoneinfo/";

void ul_message_set(struct ul_message *message, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(message->text, sizeof(message->text), format, args);
	va_end(args);
}

int usagelog_default_directory(char *out, size_t out_bytes)
{
	static const struct {
		const char *variable, *suffix;
	} places[] = {{"USAGELOG_DIR", ""}, {"XDG_STATE_HOME", "/usagelog"}, {"HOME", "/.local/state/usagelog"}};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *value = getenv(places[i].variable);
		if (!value || !*value)
			continue;
		/* The XDG specification has relative paths ignored. */
		if (i > 0 && *value != '/')
			continue;
		int length = snprintf(out, out_bytes, "%s%s", value, places[i].suffix);
		return length < 0 || (size_t)length >= out_bytes ? -ENAMETOOLONG : length;
	}
	return -ENOENT;
}

bool ul_time_zone_is_known(const char *name)
{
	char path[PATH_MAX];
	struct stat found;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_+-/", *c))
			return false;
	if (!*name || *name == '/')
		return false;
	if (!strcmp(name, "UTC"))
		return true;
	int length = snprintf(path, sizeof(path), "%s%s", zone_directory, name);
	return length > 0 && (size_t)length < sizeof(path) && !os_stat_path(path, &found) && S_ISREG(found.st_mode);
}

/* The host's zone by name: $TZ, /etc/timezone, or where /etc/localtime leads; else UTC. */
static void host_time_zone(char out[PATH_MAX])
{
	const char *variable = getenv("TZ");
	if (variable && *variable == ':')
		variable++;
	if (variable && ul_time_zone_is_known(variable)) {
		snprintf(out, PATH_MAX, "%s", variable);
		return;
	}
	char path[PATH_MAX];
	ssize_t length = os_read_link("/etc/localtime", path, sizeof(path) - 1);
	if (length > 0) {
		path[length] = '\0';
		const char *zone = strstr(path, "zoneinfo/");
		if (zone && ul_time_zone_is_known(zone + strlen("zoneinfo/"))) {
			snprintf(out, PATH_MAX, "%s", zone + strlen("zoneinfo/"));
			return;
		}
	}
	snprintf(out, PATH_MAX, "UTC");
}

/* Does the directory hold what only a log can have left: a segment, or a checkpoint? 1, 0 or -errno. */
static int holds_a_log(int fd)
{
	DIR *stream;
	const char *name;
	bool found = false;
	int error = os_list(fd, &stream);
	if (error)
		return error;
	while (!found && (error = os_list_next(stream, &name)) > 0)
		found = ul_is_segment_name(name) || !strcmp(name, "checkpoint");
	closedir(stream);
	return found ? 1 : error;
}

static int read_conf(struct ul_directory *directory, struct ul_message *why)
{
	int fd = os_open(directory->fd, conf_name, O_RDONLY);
	int rest = fd == -ENOENT ? holds_a_log(directory->fd) : 0;
	if (rest < 0) {
		ul_message_set(why, "%s: cannot be listed: %s", directory->path, usagelog_strerror(rest));
		return rest;
	}
	if (rest) {
		/* Looked for again: who makes a log makes log.conf before the first segment. */
		fd = os_open(directory->fd, conf_name, O_RDONLY);
		if (fd == -ENOENT) {
			ul_message_set(
				why,
				"%s/%s: is missing, but the rest of a log is there; nothing was touched; restore it "
				"from a backup of this log",
				directory->path, conf_name);
			return USAGELOG_ERROR_CONF_DAMAGED;
		}
	}
	if (fd == -ENOENT) {
		ul_message_set(why,
			       "%s: there is no log here (no %s); record or import a call to make one, or name another "
			       "directory",
			       directory->path, conf_name);
		return USAGELOG_ERROR_NO_LOG;
	}
	char *text = NULL;
	ssize_t bytes = fd;
	if (fd >= 0) {
		text = os_allocate(1, UL_CONF_BYTES_MAX + 1);
		bytes = text ? os_read(fd, text, UL_CONF_BYTES_MAX + 1, 0) : -ENOMEM;
	}
	os_close(fd);
	if (bytes < 0) {
		free(text);
		ul_message_set(why, "%s/%s: cannot be read: %s", directory->path, conf_name, strerror((int)-bytes));
		return (int)bytes;
	}
	enum ul_conf_error error = ul_conf_parse(&directory->conf, text, (size_t)bytes);
	free(text);
	switch (error) {
	case UL_CONF_OK:
		return 0;
	case UL_CONF_NO_MEMORY:
		ul_message_set(why, "%s/%s: no memory to read it", directory->path, conf_name);
		return -ENOMEM;
	case UL_CONF_NEWER:
		ul_message_set(why,
			       "%s/%s: was made by a newer usagelog than this one (%s); nothing was touched; use the "
			       "newer one",
			       directory->path, conf_name, usagelog_version());
		return USAGELOG_ERROR_NEWER;
	case UL_CONF_DAMAGED:
		break;
	}
	ul_message_set(
		why,
		"%s/%s: is damaged or was edited by hand; nothing was touched; restore it from a backup of this log",
		directory->path, conf_name);
	return USAGELOG_ERROR_CONF_DAMAGED;
}

static int open_path(struct ul_directory *directory, const char *path, struct ul_message *why)
{
	char standard[PATH_MAX];
	*directory = (struct ul_directory){.fd = -1};
	if (!path) {
		int length = usagelog_default_directory(standard, sizeof(standard));
		if (length < 0) {
			ul_message_set(why, "no directory for the log: set USAGELOG_DIR, or HOME, or name one");
			return length;
		}
		path = standard;
	}
	directory->path = os_duplicate(path);
	if (!directory->path) {
		ul_message_set(why, "%s: no memory to open the log", path);
		return -ENOMEM;
	}
	directory->fd = os_open_directory(path);
	return directory->fd < 0 ? directory->fd : 0;
}

int ul_directory_open(struct ul_directory *directory, const char *path, struct ul_message *why)
{
	struct ul_directory found;
	int error = open_path(&found, path, why);
	if (error == -ENOENT && found.path) {
		ul_message_set(why,
			       "%s: there is no such directory, so no log; record or import a call to make one, or "
			       "name another directory",
			       found.path);
		error = USAGELOG_ERROR_NO_LOG;
	} else if (error && found.path) {
		ul_message_set(why, "%s: cannot be opened: %s", found.path, usagelog_strerror(error));
	}
	if (!error)
		error = read_conf(&found, why);
	if (error) {
		ul_directory_close(&found);
		return error;
	}
	*directory = found;
	return 0;
}

/* Make the file `name` hold this text, durably, under a temporary name first. `replace`: by rename; else by link, which fails with -EEXIST
 * if somebody was first. */
static int place_conf(int fd, const char *text, size_t bytes, bool replace)
{
	struct ul_id id;
	char digits[UL_ID_TEXT_BYTES], temporary[64];
	int error = os_random(id.bytes, sizeof(id.bytes));
	if (error)
		return error;
	ul_id_format(digits, &id);
	snprintf(temporary, sizeof(temporary), "%s.%s.new", conf_name, digits);
	int file = os_open(fd, temporary, O_WRONLY | O_CREAT | O_EXCL);
	if (file < 0)
		return file;
	error = os_write(file, text, bytes, 0);
	if (!error)
		error = os_sync(file);
	os_close(file);
	if (!error)
		error = replace ? os_rename(fd, temporary, conf_name) : os_link(fd, temporary, conf_name);
	if (error || !replace)
		os_unlink(fd, temporary);
	return error ? error : os_sync(fd);
}

static int print_and_place(int fd, const struct ul_conf *conf, bool replace)
{
	char *text = os_allocate(1, UL_CONF_BYTES_MAX);
	if (!text)
		return -ENOMEM;
	size_t bytes = ul_conf_print(conf, text);
	int error = bytes ? place_conf(fd, text, bytes, replace) : -EINVAL;
	free(text);
	return error;
}

int ul_directory_write_conf(struct ul_directory *directory, const struct ul_conf *conf)
{
	return print_and_place(directory->fd, conf, true);
}

/* The settings of a new log; all strings are the options' own. */
static int new_conf(struct ul_conf *conf, const struct usagelog_options *options, char zone[PATH_MAX])
{
	static char default_summary[] = "summary.json";
	host_time_zone(zone);
	*conf = (struct ul_conf){
		.time_zone = options->time_zone ? (char *)(uintptr_t)options->time_zone : zone,
		.summary = options->summary_path ? (char *)(uintptr_t)options->summary_path : default_summary,
		.fallback_count = options->fallback_directory_count,
		.group_by_count = options->group_by_count,
	};
	for (size_t i = 0; i < conf->fallback_count; i++)
		conf->fallbacks[i] = (char *)(uintptr_t)options->fallback_directories[i];
	for (size_t i = 0; i < conf->group_by_count; i++)
		conf->group_by[i] = (char *)(uintptr_t)options->group_by[i];
	return os_random(conf->log_id.bytes, sizeof(conf->log_id.bytes));
}

static int make_conf(struct ul_directory *directory, const struct usagelog_options *options, struct ul_message *why)
{
	struct ul_conf conf;
	char zone[PATH_MAX];
	int error = new_conf(&conf, options, zone);
	if (!error)
		error = print_and_place(directory->fd, &conf, false);
	if (error == -EEXIST)
		error = 0; /* somebody was first: theirs holds */
	if (error)
		ul_message_set(why, "%s/%s: cannot be made: %s", directory->path, conf_name, usagelog_strerror(error));
	return error;
}

static bool lists_agree(const char *const *given, size_t given_count, char *const *stored, size_t stored_count)
{
	if (given_count != stored_count)
		return false;
	for (size_t i = 0; i < given_count; i++)
		if (strcmp(given[i], stored[i]) != 0)
			return false;
	return true;
}

/* The options that were given must be the log's own. */
static int check_options(const struct ul_directory *directory, const struct usagelog_options *options,
			 struct ul_message *why)
{
	const struct ul_conf *conf = &directory->conf;
	const char *key = NULL, *given = "another list", *stored = "its own";
	if (options->time_zone && strcmp(options->time_zone, conf->time_zone) != 0)
		key = "time_zone", given = options->time_zone, stored = conf->time_zone;
	else if (options->summary_path && strcmp(options->summary_path, conf->summary) != 0)
		key = "summary_path", given = options->summary_path, stored = conf->summary;
	else if (options->fallback_directory_count &&
		 !lists_agree(options->fallback_directories, options->fallback_directory_count, conf->fallbacks,
			      conf->fallback_count))
		key = "fallback_directories", given = options->fallback_directories[0],
		stored = conf->fallback_count ? conf->fallbacks[0] : "none";
	else if (options->group_by_count &&
		 !lists_agree(options->group_by, options->group_by_count, conf->group_by, conf->group_by_count))
		key = "group_by", given = options->group_by[0],
		stored = conf->group_by_count ? conf->group_by[0] : "none";
	if (!key)
		return 0;
	ul_message_set(why,
		       "%s: the option %s (%s) contradicts the log's own (%s); leave it out, or change the log's: "
		       "usagelog config %s",
		       directory->path, key, given, stored, key);
	return USAGELOG_ERROR_CONTRADICTION;
}

static int check_filesystem(const struct ul_directory *directory, const struct usagelog_options *options,
			    struct ul_message *why)
{
	const char *kind;
	int remote = os_is_remote(directory->fd, &kind);
	if (remote <= 0)
		return remote;
	ul_message_set(why, "%s: is on a filesystem of the kind %s, on which locks and syncs cannot be relied on%s",
		       directory->path, kind,
		       options->flags & USAGELOG_ALLOW_ANY_FILESYSTEM ? "; going on as told"
								      : "; use a local one, or allow it explicitly");
	return options->flags & USAGELOG_ALLOW_ANY_FILESYSTEM ? 0 : USAGELOG_ERROR_FILESYSTEM;
}

static int check_mode(const struct ul_directory *directory, struct ul_message *why)
{
	struct stat found;
	int error = os_stat(directory->fd, &found);
	if (!error && (found.st_mode & (S_IWGRP | S_IWOTH)) && !*why->text)
		ul_message_set(why,
			       "%s: others may write to this directory, and so change or delete the log; chmod 700 it",
			       directory->path);
	return error;
}

static int open_or_make(struct ul_directory *directory, const char *path, const struct usagelog_options *options,
			struct ul_message *why)
{
	int error = open_path(directory, path, why);
	if (error == -ENOENT && directory->path && !(options->flags & USAGELOG_MUST_EXIST)) {
		error = os_make_directories(directory->path);
		if (!error) {
			directory->fd = os_open_directory(directory->path);
			error = directory->fd < 0 ? directory->fd : 0;
		}
	}
	if (error && directory->path)
		ul_message_set(why, "%s: cannot be opened or made: %s", directory->path, usagelog_strerror(error));
	if (error)
		return error == -ENOENT && (options->flags & USAGELOG_MUST_EXIST) ? USAGELOG_ERROR_NO_LOG : error;
	error = check_filesystem(directory, options, why);
	if (!error)
		error = check_mode(directory, why);
	if (error)
		return error;
	struct ul_message trouble;
	error = read_conf(directory, &trouble);
	if (error == USAGELOG_ERROR_NO_LOG && !(options->flags & USAGELOG_MUST_EXIST)) {
		error = make_conf(directory, options, &trouble);
		if (!error)
			error = read_conf(directory, &trouble);
	}
	if (!error)
		error = check_options(directory, options, &trouble);
	if (error)
		*why = trouble;
	return error;
}

int ul_directory_open_or_make(struct ul_directory *directory, const char *path, const struct usagelog_options *options,
			      struct ul_message *why)
{
	struct ul_directory found;
	why->text[0] = '\0';
	int error = open_or_make(&found, path, options, why);
	if (error) {
		ul_directory_close(&found);
		return error;
	}
	*directory = found;
	return 0;
}

int ul_directory_open_again(const struct ul_directory *directory)
{
	struct ul_directory now;
	struct ul_message why;
	int error = ul_directory_open(&now, directory->path, &why);
	if (error)
		return error;
	bool same = memcmp(&now.conf.log_id, &directory->conf.log_id, sizeof(now.conf.log_id)) == 0;
	error = same ? os_replace_fd(directory->fd, now.fd) : USAGELOG_ERROR_NO_LOG;
	ul_directory_close(&now);
	return error;
}

void ul_directory_close(struct ul_directory *directory)
{
	ul_conf_clear(&directory->conf);
	os_close(directory->fd);
	free(directory->path);
	*directory = (struct ul_directory){.fd = -1};
}

bool ul_is_segment_name(const char *name)
{
	size_t length = strlen(name);
	return length > 4 && !strcmp(name + length - 4, ".seg");
}

static int list_one(struct ul_segment_list *list, uint32_t directory, int fd)
{
	DIR *stream;
	int error = os_list(fd, &stream);
	if (error)
		return error;
	const char *found;
	while ((error = os_list_next(stream, &found)) > 0) {
		if (!ul_is_segment_name(found))
			continue;
		if (list->count == list->capacity) {
			size_t capacity = list->capacity ? 2 * list->capacity : 16;
			struct ul_segment_name *names = os_reallocate(list->names, capacity, sizeof(*names));
			if (!names) {
				error = -ENOMEM;
				break;
			}
			list->names = names;
			list->capacity = capacity;
		}
		struct ul_segment_name *name = &list->names[list->count++];
		name->directory = directory;
		snprintf(name->name, sizeof(name->name), "%s", found);
	}
	closedir(stream);
	return error;
}

static int compare_names(const void *left, const void *right)
{
	const struct ul_segment_name *a = left, *b = right;
	if (a->directory != b->directory)
		return a->directory < b->directory ? -1 : 1;
	return strcmp(a->name, b->name);
}

int ul_segment_list_read(struct ul_segment_list *list, const struct ul_directory *directory)
{
	struct ul_segment_list found = {.directory_count = 1 + directory->conf.fallback_count};
	int error = 0;
	for (size_t i = 0; i < found.directory_count; i++)
		found.fds[i] = os_open_directory(i ? directory->conf.fallbacks[i - 1] : directory->path);
	for (size_t i = 0; i < found.directory_count && error != -ENOMEM; i++) {
		int listed = found.fds[i] < 0 ? found.fds[i] : list_one(&found, (uint32_t)i, found.fds[i]);
		/* A fallback that cannot be read stops nobody: its fd says why. The log's own directory must be readable. */
		if (listed == -ENOMEM || (listed && i == 0))
			error = listed;
	}
	if (error) {
		ul_segment_list_clear(&found);
		return error;
	}
	if (found.count)
		qsort(found.names, found.count, sizeof(found.names[0]), compare_names);
	*list = found;
	return 0;
}

void ul_segment_list_clear(struct ul_segment_list *list)
{
	for (size_t i = 0; i < list->directory_count; i++)
		os_close(list->fds[i]);
	free(list->names);
	*list = (struct ul_segment_list){0};
}
