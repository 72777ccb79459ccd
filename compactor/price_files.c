/* Maps read from files. */
#include "price_files.h"

#include <fcntl.h>
#include <string.h>

#include "calendar.h"
#include "command.h"
#include "store.h"

static int read_file(struct price_map *map, const char *path)
{
	struct stored_file file;
	struct ul_message why;
	store_read_bytes(AT_FDCWD, path, &file);
	int status = STATUS_FILES;
	if (file.state == FILE_MISSING)
		complain("%s: there is no such file", path);
	else if (file.state == FILE_DAMAGED)
		complain("%s: is not a regular file; a map of prices is read from one, not through a link", path);
	else if (file.state != FILE_SOUND)
		complain("%s: cannot be read: %s", path, usagelog_strerror(file.error));
	else if (price_map_add(map, path, file.bytes, file.size_bytes, &why))
		complain("%s", why.text);
	else
		status = STATUS_DONE;
	stored_file_clear(&file);
	return status;
}

int price_files_read(struct price_map *map, char *const *paths, int count, struct price_map_counts *counts)
{
	int status = STATUS_DONE;
	if (price_map_open(map)) {
		complain("no memory to read prices");
		return STATUS_FILES;
	}
	for (int i = 0; i < count && status == STATUS_DONE; i++)
		status = read_file(map, paths[i]);
	if (status != STATUS_DONE)
		return status;
	if (price_map_count(map, counts)) {
		complain("no memory to read prices");
		return STATUS_FILES;
	}
	if (counts->models)
		return STATUS_DONE;
	complain("%s: no model has prices in it; is it a map of prices?", paths[0]);
	return STATUS_FILES;
}

void price_files_tell_odd(const struct price_map *map)
{
	size_t suspect = map->findings.counts[FINDING_DAMAGE], refused = map->findings.counts[FINDING_LEFT_OUT];
	if (suspect)
		complain("%zu price%s suspect; usagelog prices check says which", suspect,
			 suspect == 1 ? " is" : "s are");
	if (refused)
		complain("%zu model%s cannot be used; usagelog prices check says why", refused,
			 refused == 1 ? "" : "s");
}

bool price_files_day(const char *option, const char *text, int32_t *day)
{
	if (strlen(text) == strlen("YYYY-MM-DD") && calendar_parse_day(day, text))
		return true;
	complain("%s: \"%s\" is not a day like 2026-01-31", option, text);
	return false;
}
