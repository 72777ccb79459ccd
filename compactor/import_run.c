/* Files to records to the log. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "import_run.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "import_tracker.h"
#include "os.h"
#include "progress.h"
#include "timetext.h"

enum { REFUSALS_SHOWN = 20, LINES_A_LOOK = 1024 };

/* A whole file that is one JSON text is read at once. */
enum { DOCUMENT_BYTES_MAX = 256 << 20 };

/* How far is looked for a line that says what a file is. */
enum { LINES_LOOKED_AT = 1000 };

/* A row of a call, by the call's id (the table's key). */
struct row {
	uint8_t id[16];
	int64_t time_ns;
	uint64_t offset, number;
	uint32_t file, bytes;
};

/* A line without an id. */
struct alike {
	uint8_t hash[16];
	uint64_t count;
};

const char *import_file_name(const struct import_file *file)
{
	return strcmp(file->path, "-") ? file->path : "(standard input)";
}

static const char *file_name(const struct import_run *run)
{
	return import_file_name(&run->files.files[run->at]);
}

static struct import_counts *counts_of(struct import_run *run, const struct import_format *format)
{
	size_t index = 0;
	while (index < IMPORT_FORMATS && import_format_at(index) != format)
		index++;
	return &run->counts[index];
}

bool import_run_open(struct import_run *run, const char *map)
{
	table_init(&run->alike, sizeof(struct alike));
	table_init(&run->rows, sizeof(struct row));
	if (!import_map_open(&run->map, map))
		return false;
	if (!import_formats_open(&run->formats))
		return true;
	complain("no memory to import");
	return false;
}

void import_run_close(struct import_run *run)
{
	lines_close(run->lines);
	table_clear(&run->alike);
	table_clear(&run->rows);
	import_map_close(&run->map);
	import_formats_close(&run->formats);
	import_files_clear(&run->files);
}

/* ---- one file ------------------------------------------------------------------------------------------------ */

static struct import_file *this_file(struct import_run *run)
{
	return &run->files.files[run->at];
}

/* To the beginning of the file at hand. 0 or an exit status. */
static int begin_lines(struct import_run *run)
{
	struct import_file *file = this_file(run);
	lines_close(run->lines);
	run->lines =
		import_source_rewind(&file->source) ? NULL : lines_open(file->source.fd, file->csv, file->bytes_max);
	run->told = 0;
	if (run->lines)
		return 0;
	complain("%s: cannot be read from its beginning, or there is no memory", file_name(run));
	return STATUS_FILES;
}

static int open_file(struct import_run *run, size_t at, bool twice)
{
	run->at = at;
	struct import_file *file = this_file(run);
	int status = 0;
	if (file->source.fd < 0)
		status = import_source_open(&file->source, file->path, twice, file->below);
	return status;
}

static void close_file(struct import_run *run)
{
	struct import_file *file = this_file(run);
	lines_close(run->lines);
	run->lines = NULL;
	if (!file->source.stays)
		import_source_close(&file->source);
}

/* The file at hand, as one text: malloc'd. 0, -EFBIG (too long for that), or another negative code. */
static int read_whole(struct import_run *run, char **out, size_t *bytes)
{
	size_t room = 0, used = 0;
	int error = import_source_rewind(&this_file(run)->source);
	char *text = NULL;
	ssize_t got = 1;
	while (!error && got > 0) {
		if (used == room) {
			size_t wanted = room ? 2 * room : 65536;
			char *more = os_reallocate(text, wanted, 1);
			if (!more) {
				error = -ENOMEM;
				break;
			}
			text = more;
			room = wanted;
		}
		got = os_read_next(this_file(run)->source.fd, text + used, room - used);
		if (got < 0)
			error = (int)got;
		else
			used += (size_t)got;
		if (used >= DOCUMENT_BYTES_MAX)
			error = -EFBIG;
	}
	if (error) {
		free(text);
		text = NULL;
	}
	*out = text;
	*bytes = used;
	return error;
}

static int complain_unread(struct import_run *run, int error)
{
	complain(error == -EFBIG ? "%s: is one JSON text of more than 256 MiB, which is too long"
				 : "%s: cannot be read: %s",
		 file_name(run), strerror(-error));
	return STATUS_FILES;
}

static bool is_blank(const struct line *line)
{
	for (size_t i = 0; i < line->bytes; i++)
		if (line->text[i] != ' ' && line->text[i] != '\t')
			return false;
	return !line->too_long;
}

/* ---- what a file is ------------------------------------------------------------------------------------------ */

/* A line of JSON that says a time and a model in this log's own words: a dump, or what was made after the manual. */
static bool is_own_line(struct import_run *run, struct line *line)
{
	struct field_value values[FIELD_COUNT] = {0};
	struct refusal why;
	return import_map_json(&run->map, line, values, &why) && values[FIELD_TIME].bytes &&
	       (run->map.given || (values[FIELD_MODEL].bytes && values[FIELD_PROVIDER].bytes));
}

/* Column names, of which one is the time. */
static bool is_csv(struct import_run *run, struct line *line)
{
	static const char *const names[] = {"time", "\"time\""};
	if (line->too_long || !line->bytes || *line->text == '{' || *line->text == '[')
		return false;
	bool any = run->map.given;
	for (const char *at = line->text, *end = at + line->bytes; at < end && !any; at++) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t bytes = (size_t)((comma ? comma : end) - at);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			any |= bytes == strlen(names[i]) && !memcmp(at, names[i], bytes);
		at += bytes;
	}
	return any;
}

/* The whole file, if it is one JSON text: of what format, and is it one? 0, or a negative code if it cannot be read. */
static int recognize_whole(struct import_run *run, const struct import_format **format, bool *json)
{
	size_t bytes;
	char *text;
	int error = read_whole(run, &text, &bytes);
	*json = false;
	*format = error ? NULL : import_formats_find(&run->formats, text, bytes, json);
	free(text);
	return error == -EFBIG ? 0 : error;
}

/* By its lines, and where the first one is no whole JSON text, as a whole first. 1; 0: it is nothing known; or a negative code: it cannot be read. */
static int recognize_lines(struct import_run *run, struct import_file *file)
{
	struct line line;
	bool first = true;
	int got = 1;
	for (unsigned taken = 0; taken < LINES_LOOKED_AT && (got = lines_next(run->lines, &line)) > 0; taken++) {
		bool json = false;
		if (is_blank(&line))
			continue;
		file->lines = true;
		if (first && !run->map.given && (line.too_long || *line.text == '{' || *line.text == '[')) {
			if (!line.too_long && *line.text == '{')
				file->format = import_formats_find(&run->formats, line.text, line.bytes, &json);
			if (!json) {
				int error = recognize_whole(run, &file->format, &json);
				file->lines = !file->format;
				/* Reading it has moved the file. */
				if (!error && !file->format)
					error = begin_lines(run) ? -EIO : 0;
				if (error)
					return error;
				first = false;
				if (!file->format)
					continue;
			}
		} else if (!run->map.given && !line.too_long) {
			file->format = import_formats_find(&run->formats, line.text, line.bytes, &json);
		}
		if (file->format || (!line.too_long && is_own_line(run, &line)))
			return 1;
		file->csv = first && is_csv(run, &line);
		if (file->csv)
			return 1;
		first = false;
	}
	return got < 0 ? got : 0;
}

/* What a file is that the user says the format of: lines, unless its first line is not a whole JSON text. 0, or a negative code: it cannot be read. */
static int look_at_shape(struct import_run *run, struct import_file *file)
{
	struct line line;
	bool json = true;
	int got;
	while ((got = lines_next(run->lines, &line)) > 0 && is_blank(&line))
		;
	if (got > 0 && (line.too_long || *line.text == '['))
		json = false;
	else if (got > 0)
		import_formats_find(&run->formats, line.text, line.bytes, &json);
	file->lines = true;
	if (got < 0 || json)
		return got < 0 ? got : 0;
	const struct import_format *any;
	int error = recognize_whole(run, &any, &json);
	file->lines = !json;
	return error;
}

static int check_paths(struct import_run *run);
static int take_header(struct import_run *run);

/* By the name of a format, if that is given. */
static int recognize(struct import_run *run, const char *name)
{
	struct import_file *file = this_file(run);
	file->format = name ? import_format_named(name) : NULL;
	file->csv = name && !strcmp(name, "csv");
	file->lines = true;
	int status = begin_lines(run);
	if (status)
		return status;
	int found = file->format ? look_at_shape(run, file) : name ? 1 : recognize_lines(run, file);
	if (found < 0)
		return complain_unread(run, found);
	if (!file->format && !found) {
		run->unknown++;
		if (!file->below)
			complain("%s: is of no format that import recognizes; say it with --format, or what its "
				 "members or columns are with --map; see usagelog import --help",
				 import_file_name(file));
		return file->below ? 0 : STATUS_USAGE;
	}
	if (file->format) {
		file->lines &= !file->format->document;
		return 0;
	}
	status = begin_lines(run);
	if (status)
		return status;
	return file->csv ? take_header(run) : check_paths(run);
}

/* What is read once is taken as it is said to be. */
static int look_at_file(struct import_run *run, const char *format)
{
	bool csv = format && !strcmp(format, "csv");
	bool once = !run->twice && (csv || (format && !strcmp(format, "jsonl") && !run->map.given));
	struct import_file *file = this_file(run);
	int status = open_file(run, run->at, !once);
	if (!status && once && !file->source.seekable) {
		file->csv = csv;
		file->lines = true;
	} else if (!status) {
		status = recognize(run, format);
	}
	close_file(run);
	/* The others are taken all the same. */
	bool unread = file->below && status == STATUS_FILES;
	run->unread += unread;
	return unread ? 0 : status;
}

int import_run_recognize(struct import_run *run, const char *format)
{
	size_t kept = 0;
	int status = 0;
	for (size_t i = 0; i < run->files.count && !status; i++) {
		uint64_t left_out = run->unknown + run->unread;
		run->at = i;
		status = look_at_file(run, format);
		if (run->unknown + run->unread > left_out && !status) {
			import_file_clear(&run->files.files[i]);
			continue;
		}
		struct import_file file = run->files.files[i];
		run->files.files[i].path = NULL;
		run->files.files[i].source.fd = -1;
		run->files.files[kept++] = file;
	}
	if (!status)
		run->files.count = kept;
	return status;
}

/* ---- one record ---------------------------------------------------------------------------------------------- */

/* The line where a record stands. */
static uint64_t line_of(const struct import_run *run, const char *at)
{
	if (!run->text)
		return run->line ? run->line->number : 0;
	uint64_t number = 1;
	for (const char *from = run->text; (from = memchr(from, '\n', (size_t)(at - from))); from++)
		number++;
	return number;
}

static void complain_record(struct import_run *run, const char *at, const struct refusal *why)
{
	if (++run->refused > REFUSALS_SHOWN)
		return;
	uint64_t number = line_of(run, at);
	if (why->field == FIELD_COUNT)
		complain("%s:%" PRIu64 ": %s", file_name(run), number, why->reason);
	else
		complain("%s:%" PRIu64 ": %s: %s", file_name(run), number, field_names[why->field], why->reason);
}

/* The log cannot take more: what was done is said, so that the same command can go on from there. */
static void complain_stop(struct import_run *run, const char *at, int error)
{
	complain("%s: the log cannot take the call of %s:%" PRIu64
		 ": %s; when that is mended, import the file again: calls that "
		 "are there are not added twice",
		 run->log->directory.path, file_name(run), line_of(run, at), usagelog_strerror(error));
	run->status = STATUS_FILES;
}

/* FORMAT.md 3.4: a line is known by what it is, and by how many before it are the same. */
static void make_id(const uint8_t hash[16], uint64_t before, uint8_t id[16])
{
	struct {
		char word[5];
		uint8_t hash[16], before[8];
	} whole = {.word = "line"};
	static_assert(sizeof(whole) == 29, "FORMAT.md 3.4");
	XXH128_canonical_t canonical;
	memcpy(whole.hash, hash, sizeof(whole.hash));
	memcpy(whole.before, &before, sizeof(whole.before));
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(&whole, sizeof(whole)));
	memcpy(id, &canonical, sizeof(canonical));
}

static void set_hash(struct import_run *run, XXH128_hash_t hash)
{
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, hash);
	memcpy(run->line_hash, &canonical, sizeof(run->line_hash));
	make_id(run->line_hash, 0, run->first_id);
}

/* The id of the line at hand. Few are like another one: only these are counted. False: no memory. */
static bool name_line(struct import_run *run, uint8_t id[16])
{
	memcpy(id, run->first_id, sizeof(run->first_id));
	if (!call_ids_meet(run->log->ids, id))
		return true;
	struct alike *alike = table_get(&run->alike, run->line_hash);
	if (alike)
		make_id(run->line_hash, ++alike->count, id);
	return alike != NULL;
}

static void record(struct import_run *run, const char *at, bool any)
{
	struct draft *draft = &run->draft;
	int error = 0;
	if (!draft->call.call_id && !run->again) {
		if (!name_line(run, draft->id))
			error = -ENOMEM;
		draft->call.call_id = draft->id;
	}
	uint64_t added = run->log->added;
	if (!error)
		error = import_log_add(run->log, draft, any);
	if (error)
		complain_stop(run, at, error);
	else if (run->line && run->files.files[run->at].csv && run->line->unended && run->log->added > added)
		run->unended = run->line->number;
}

/* A record's fields to a call, and that to the log. */
static void take_values(struct import_run *run, const char *at, const struct field_value values[FIELD_COUNT], bool any)
{
	struct refusal why;
	bool made = draft_make(&run->draft, &run->rules, values, &why);
	if (made && !run->draft.call.time_ns) {
		refuse_record(&why, FIELD_TIME, "is missing");
		made = false;
	}
	if (!made)
		complain_record(run, at, &why);
	else if (run->log)
		record(run, at, any);
}

/* The row counts until a later one of the same call is found: in the same file the one further down, else by its time. */
static void gather_row(struct import_run *run, const struct field_value values[FIELD_COUNT])
{
	struct row row = {.offset = run->line->offset,
			  .number = run->line->number,
			  .file = (uint32_t)run->at,
			  .bytes = (uint32_t)run->line->bytes};
	usagelog_call_id(values[FIELD_CALL_ID].text, values[FIELD_CALL_ID].bytes, row.id);
	(void)timetext_parse(&run->rules.zone, values[FIELD_TIME].text, values[FIELD_TIME].bytes, &row.time_ns);
	uint32_t before = run->rows.count;
	struct row *there = table_get(&run->rows, row.id);
	if (!there) {
		complain("no memory to import");
		run->status = STATUS_FILES;
		return;
	}
	bool is_new = run->rows.count > before;
	counts_of(run, run->files.files[run->at].format)->repeats += !is_new;
	if (is_new || there->file == row.file || row.time_ns > there->time_ns)
		*there = row;
}

/* What stands for a record that has no id: its line, or in a file that is one text all that is taken of it. */
static void hash_record(struct import_run *run, const struct field_value values[FIELD_COUNT])
{
	if (run->line) {
		set_hash(run, XXH3_128bits(run->line->text, run->line->bytes));
		return;
	}
	XXH3_state_t state;
	XXH3_128bits_reset(&state);
	for (enum call_field field = 0; field < FIELD_COUNT; field++) {
		if (values[field].bytes && values[field].text != run->file_time)
			XXH3_128bits_update(&state, values[field].text, values[field].bytes);
		XXH3_128bits_update(&state, "", 1);
	}
	set_hash(run, XXH3_128bits_digest(&state));
}

static void take_record(void *arg, const char *at, enum import_verdict verdict,
			const struct field_value values[FIELD_COUNT], const struct refusal *why)
{
	struct import_run *run = arg;
	const struct import_format *format = run->files.files[run->at].format;
	struct import_counts *counts = counts_of(run, format);
	if (run->status)
		return;
	counts->records++;
	switch (verdict) {
	case IMPORT_CALL:
		if (run->gather && values[FIELD_CALL_ID].bytes) {
			gather_row(run, values);
			return;
		}
		if (!values[FIELD_CALL_ID].bytes)
			hash_record(run, values);
		counts->undated += values[FIELD_TIME].text == run->file_time;
		take_values(run, at, values, format->copies);
		return;
	case IMPORT_NO_CALL:
		counts->others++;
		return;
	case IMPORT_REPEAT:
		counts->repeats++;
		return;
	case IMPORT_REFUSED:
		complain_record(run, at, why);
		return;
	}
}

/* ---- the records of one file --------------------------------------------------------------------------------- */

static void tell_progress(struct import_run *run)
{
	uint64_t bytes = lines_bytes(run->lines);
	progress_add(bytes - run->told);
	run->told = bytes;
}

static void take_line_by_format(struct import_run *run, struct import_reader *reader, const struct line *line)
{
	struct refusal why;
	if (!import_reader_take(reader, line->text, line->bytes, false, &why))
		complain_record(run, line->text, &why);
}

static void take_line_by_map(struct import_run *run, struct line *line)
{
	struct field_value values[FIELD_COUNT];
	struct refusal why;
	memcpy(values, run->defaults, sizeof(values));
	counts_of(run, NULL)->records++;
	/* Before CSV is taken apart in its place. */
	set_hash(run, XXH3_128bits(line->text, line->bytes));
	if (run->log && run->log->ids)
		call_ids_prefetch(run->log->ids, run->first_id);
	if (line->open_quote)
		refuse_record(&why, FIELD_COUNT,
			      "opens a quote that is not closed, so that the rest of the file belongs to it");
	else if (run->files.files[run->at].csv ? import_map_csv(&run->map, line, values, &why)
					       : import_map_json(&run->map, line, values, &why)) {
		take_values(run, line->text, values, false);
		return;
	}
	complain_record(run, line->text, &why);
}

static int take_lines(struct import_run *run, struct import_reader *reader)
{
	struct line line;
	int got = 0;
	run->line = &line;
	for (uint64_t taken = 1; !run->status && (got = lines_next(run->lines, &line)) > 0; taken++) {
		if (is_blank(&line))
			continue;
		if (line.too_long) {
			struct refusal why;
			refuse_record(&why, FIELD_COUNT, "is longer than 16 MiB");
			complain_record(run, NULL, &why);
		} else if (reader) {
			take_line_by_format(run, reader, &line);
		} else {
			take_line_by_map(run, &line);
		}
		if (taken % LINES_A_LOOK == 0)
			tell_progress(run);
	}
	tell_progress(run);
	run->line = NULL;
	if (!run->status && got < 0) {
		complain("%s: cannot be read to its end: %s; what was read is kept", file_name(run), strerror(-got));
		run->status = STATUS_FILES;
	}
	return run->status;
}

static int take_tracker(struct import_run *run, struct import_reader *reader, const char *text, size_t bytes)
{
	struct import_tracker tracker = {.log = run->log, .rules = &run->rules, .draft = &run->draft};
	int error = import_tracker_take(&tracker, reader, text, bytes);
	run->balances += tracker.balances;
	run->contradictions += tracker.contradictions;
	run->gaps += tracker.gap;
	if (error) {
		complain("%s: its totals cannot be taken over: %s; import it again when that is mended", file_name(run),
			 usagelog_strerror(error));
		run->status = STATUS_FILES;
	}
	return run->status;
}

/* A file that is one JSON text. */
static int take_whole(struct import_run *run, struct import_reader *reader)
{
	size_t bytes;
	struct refusal why;
	char *text;
	int error = read_whole(run, &text, &bytes);
	if (error)
		return run->status = complain_unread(run, error);
	run->text = text;
	if (run->files.files[run->at].format == &format_tracker)
		take_tracker(run, reader, text, bytes);
	if (!run->status && !import_reader_take(reader, text, bytes, true, &why))
		complain_record(run, text, &why);
	run->text = NULL;
	free(text);
	progress_add(bytes);
	return run->status;
}

/* Of a call without a time the best that is known: when its file was last changed. */
static struct field_value time_of_file(struct import_run *run)
{
	struct stat found;
	if (this_file(run)->source.stays || os_stat(this_file(run)->source.fd, &found))
		return (struct field_value){0};
	int length = snprintf(run->file_time, sizeof(run->file_time), "%lld", (long long)found.st_mtime);
	return (struct field_value){run->file_time, (size_t)length};
}

static struct import_reader *ready_reader(struct import_run *run, const struct import_format *format)
{
	struct import_reader *reader = import_formats_reader(&run->formats, format);
	for (enum call_field field = 0; field < FIELD_COUNT; field++)
		if (run->defaults[field].bytes)
			reader->defaults[field] = run->defaults[field];
	if (format->undated && !run->defaults[FIELD_TIME].bytes)
		reader->defaults[FIELD_TIME] = time_of_file(run);
	import_reader_reset(reader);
	return reader;
}

/* Of CSV, the header. 0 or an exit status. */
static int take_header(struct import_run *run)
{
	struct line header;
	int got = lines_next(run->lines, &header);
	if (got < 0)
		return complain_unread(run, got);
	if (!got) {
		complain("%s: has no header line, so nothing was recorded: CSV begins with a line of column names",
			 file_name(run));
		return STATUS_PART;
	}
	return import_map_header(&run->map, file_name(run), &header) ? 0 : STATUS_USAGE;
}

/* Does any of the first lines have each member that --map names? Looked at before there is a log. 0 or an exit status. */
static int check_paths(struct import_run *run)
{
	enum { OBJECTS_LOOKED_AT = 1000 };
	struct import_map *map = &run->map;
	struct line line;
	struct refusal why;
	import_map_forget(map);
	while (map->given && map->objects < OBJECTS_LOOKED_AT && lines_next(run->lines, &line) > 0) {
		struct field_value values[FIELD_COUNT] = {0};
		/* What is wrong with a line is said when it is its turn. */
		if (!line.too_long)
			(void)import_map_json(map, &line, values, &why);
	}
	enum call_field field = import_map_unseen(map);
	if (field == FIELD_COUNT)
		return 0;
	complain("%s: no line has \"%s\", from which --map reads %s; nothing was recorded", file_name(run),
		 map->paths[field], field_names[field]);
	return STATUS_USAGE;
}

static int take_file(struct import_run *run, const struct import_sink *sink)
{
	const struct import_file *file = &run->files.files[run->at];
	struct import_reader *reader = file->format ? ready_reader(run, file->format) : NULL;
	table_clear(&run->alike);
	table_init(&run->alike, sizeof(struct alike));
	if (run->log && run->log->ids)
		call_ids_next_file(run->log->ids);
	counts_of(run, file->format)->files++;
	run->gather = file->format && file->format->streamed && file->lines && !run->again;
	if (reader)
		reader->sink = sink;
	int status = begin_lines(run);
	if (status)
		return status;
	if (file->csv) {
		status = take_header(run);
		if (status)
			return status;
	}
	return reader && !file->lines ? take_whole(run, reader) : take_lines(run, reader);
}

/* ---- rows that were gathered --------------------------------------------------------------------------------- */

static int compare_rows(const void *left, const void *right)
{
	const struct row *a = left, *b = right;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	return (a->offset > b->offset) - (a->offset < b->offset);
}

static int take_row(struct import_run *run, struct import_reader *reader, const struct row *row, char *text)
{
	uint64_t start = this_file(run)->source.start + row->offset;
	ssize_t got = os_read(this_file(run)->source.fd, text, row->bytes, start);
	if (got < (ssize_t)row->bytes) {
		complain("%s: was cut short while it was read; import it again", file_name(run));
		return STATUS_FILES;
	}
	struct line line = {.text = text, .bytes = row->bytes, .number = row->number};
	run->line = &line;
	take_line_by_format(run, reader, &line);
	run->line = NULL;
	return run->status;
}

/* Of each call the row that counts, in the order of the files. */
static int take_rows(struct import_run *run, const struct import_sink *sink)
{
	struct row *rows = (struct row *)(void *)run->rows.records;
	char *text = run->rows.count ? os_reallocate(NULL, 1, LINE_BYTES_MAX) : NULL;
	int status = 0;
	run->gather = false;
	if (run->rows.count && !text) {
		complain("no memory to import");
		return STATUS_FILES;
	}
	if (run->rows.count)
		qsort(rows, run->rows.count, sizeof(*rows), compare_rows);
	for (uint32_t i = 0; i < run->rows.count && !status;) {
		uint32_t file = rows[i].file;
		status = open_file(run, file, true);
		if (status)
			break;
		const struct import_format *format = run->files.files[file].format;
		struct import_reader *reader = ready_reader(run, format);
		reader->sink = sink;
		struct import_counts counts = *counts_of(run, format);
		for (; i < run->rows.count && rows[i].file == file && !status; i++)
			status = take_row(run, reader, &rows[i], text);
		/* They were counted when they were gathered. */
		counts_of(run, format)->records = counts.records;
		close_file(run);
	}
	free(text);
	table_clear(&run->rows);
	table_init(&run->rows, sizeof(struct row));
	return status;
}

int import_run_take(struct import_run *run)
{
	const struct import_sink sink = {run, take_record, NULL};
	uint64_t bytes = 0;
	struct stat found;
	int status = 0;
	for (size_t i = 0; i < run->files.count; i++)
		bytes += !os_stat_path(run->files.files[i].path, &found) && found.st_size > 0 ? (uint64_t)found.st_size
											      : 0;
	memset(run->counts, 0, sizeof(run->counts));
	run->status = 0;
	progress_begin(run->log ? "importing" : "checking", bytes);
	for (size_t i = 0; i < run->files.count && !status; i++) {
		status = open_file(run, i, true);
		if (!status) {
			status = take_file(run, &sink);
			if (!run->log)
				this_file(run)->bytes_max = lines_bytes(run->lines);
			close_file(run);
		}
	}
	if (!status)
		status = take_rows(run, &sink);
	progress_end();
	if (run->refused > REFUSALS_SHOWN)
		complain("%" PRIu64 " more lines are refused", run->refused - REFUSALS_SHOWN);
	return status;
}
