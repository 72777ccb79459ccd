/* The page of `report --html`. */
#include "report_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "store.h"

/* Characters that could end the element that the data stands in, or begin another one. In JSON they stand in strings alone. */
static const char *escape(char character)
{
	switch (character) {
	case '<':
		return "\\u003c";
	case '>':
		return "\\u003e";
	case '&':
		return "\\u0026";
	default:
		return NULL;
	}
}

/* The page, malloc'd; NULL: no memory. */
static char *assemble(const struct json_text *json, size_t *bytes)
{
	enum { ESCAPE_BYTES = 6 };
	size_t room = page_before_data_bytes + page_after_data_bytes + json->bytes;
	for (size_t i = 0; i < json->bytes; i++)
		room += escape(json->text[i]) ? ESCAPE_BYTES - 1 : 0;
	char *page = os_reallocate(NULL, room, 1), *at = page;
	if (!page)
		return NULL;
	at = mempcpy(at, page_before_data, page_before_data_bytes);
	for (size_t i = 0; i < json->bytes; i++) {
		const char *escaped = escape(json->text[i]);
		at = mempcpy(at, escaped ? escaped : &json->text[i], escaped ? ESCAPE_BYTES : 1);
	}
	at = mempcpy(at, page_after_data, page_after_data_bytes);
	*bytes = (size_t)(at - page);
	assert(*bytes == room);
	return page;
}

/* May the page stand there? 0, or a negative code and `why`. */
static int check_target(const struct ul_directory *log, int directory, const char *name, const char *path,
			struct ul_message *why)
{
	struct stat there, ours;
	bool is_file = *name && (os_stat_at(directory, name, &there) || S_ISREG(there.st_mode));
	if (!is_file) {
		ul_message_set(why,
			       "%s: is no regular file, and the page does not take its place; name a file, or - for "
			       "standard output",
			       path);
		return -EINVAL;
	}
	if (store_is_reserved_name(name) && !os_stat(directory, &there) && !os_stat(log->fd, &ours) &&
	    there.st_dev == ours.st_dev && there.st_ino == ours.st_ino) {
		ul_message_set(why, "%s: is a file of the log itself and is not overwritten; name another file", path);
		return -EINVAL;
	}
	return 0;
}

/* Write it, and have it durable under its name. */
static int put_in_place(int directory, const char *name, const char *path, const char *page, size_t bytes,
			struct ul_message *why)
{
	int error = store_write(directory, name, page, bytes);
	if (!error)
		error = os_sync(directory);
	if (error)
		ul_message_set(why, "%s: the page cannot be written: %s", path, usagelog_strerror(error));
	return error;
}

static int save(const char *path, const struct ul_directory *log, const char *page, size_t bytes,
		struct ul_message *why)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char *folder = os_duplicate(slash ? path : ".");
	if (!folder) {
		ul_message_set(why, "%s: no memory to write the page", path);
		return -ENOMEM;
	}
	if (slash)
		folder[name - path] = '\0';
	int directory = os_open_directory(folder), error = directory;
	free(folder);
	if (directory < 0) {
		ul_message_set(why, "%s: its directory cannot be opened: %s; name a file elsewhere, or make that first",
			       path, usagelog_strerror(error));
		return error;
	}
	error = check_target(log, directory, name, path, why);
	if (!error)
		error = put_in_place(directory, name, path, page, bytes, why);
	os_close(directory);
	return error;
}

int page_write(const char *path, struct view *view, struct checkpoint *whole, struct report *report, bool period_given,
	       struct ul_message *why)
{
	struct json_text json = {.dense = true};
	size_t bytes = 0;
	int error = page_data_write(&json, view, whole, report, period_given);
	char *page = error ? NULL : assemble(&json, &bytes);
	json_text_clear(&json);
	if (!page) {
		ul_message_set(why, "%s: cannot be summed up: %s", view->directory.path,
			       usagelog_strerror(error ? error : -ENOMEM));
		return error ? error : -ENOMEM;
	}
	/* Whether standard output took it all is seen when the program ends. */
	if (strcmp(path, "-") == 0)
		fwrite(page, 1, bytes, stdout);
	else
		error = save(path, &view->directory, page, bytes, why);
	free(page);
	return error;
}
