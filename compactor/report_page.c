/* The page of `report --html`. */
#include "report_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "os.h"
#include "output.h"
#include "usagelog.h"

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

bool page_write(const char *path, struct view *view, struct checkpoint *whole, struct report *report, bool period_given)
{
	struct json_text json = {.dense = true};
	size_t bytes = 0;
	int error = page_data_write(&json, view, whole, report, period_given);
	char *page = error ? NULL : assemble(&json, &bytes);
	json_text_clear(&json);
	if (!page)
		complain("%s: cannot be summed up: %s", view->directory.path,
			 usagelog_strerror(error ? error : -ENOMEM));
	bool done = page && output_write(strcmp(path, "-") != 0 ? path : NULL, page, bytes);
	free(page);
	return done;
}
