/* CSV records and the lines of imported files: their ends, their fields, in blocks of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "csv.h"
#include "import_lines.h"

/* Split a copy that ends where the text ends; the fields are joined by '|', or the error is named. */
static void expect_fields(const char *text, const char *joined)
{
	static struct csv_field fields[CSV_FIELDS_MAX];
	char found[256] = "";
	size_t bytes = strlen(text), count = 0, at = 0;
	char *copy = malloc(bytes ? bytes : 1);
	assert_non_null(copy);
	memcpy(copy, text, bytes);
	enum csv_error error = csv_split(copy, bytes, fields, &count);
	if (error)
		snprintf(found, sizeof(found), "error %d", (int)error);
	for (size_t i = 0; i < count; i++)
		at += (size_t)snprintf(found + at, sizeof(found) - at, "%s%.*s", i ? "|" : "", (int)fields[i].bytes,
				       fields[i].text);
	free(copy);
	assert_string_equal(found, joined);
}

static void test_fields(void **state)
{
	(void)state;
	expect_fields("", "");
	expect_fields("a", "a");
	expect_fields("a,b,c", "a|b|c");
	expect_fields(",,", "||");
	expect_fields("\"a\"", "a");
	expect_fields("\"\"", "");
	expect_fields("\"a,b\",c", "a,b|c");
	expect_fields("\"a\"\"b\",\"\"\"\"", "a\"b|\"");
	expect_fields("\"a\r\nb\",c", "a\r\nb|c");
	expect_fields("a\"b,5\" disk", "a\"b|5\" disk");
	expect_fields(" \"a\"", " \"a\"");
	expect_fields("\"a", "error 3");
	expect_fields("x,\"a\"\"", "error 3");
	expect_fields("\"a\"b", "error 2");
	expect_fields("\"a\" ,b", "error 2");
}

static void test_too_many(void **state)
{
	static struct csv_field fields[CSV_FIELDS_MAX];
	static char text[CSV_FIELDS_MAX];
	size_t count = 0;
	(void)state;
	memset(text, ',', sizeof(text));
	assert_int_equal(csv_split(text, sizeof(text) - 1, fields, &count), CSV_OK);
	assert_int_equal(count, CSV_FIELDS_MAX);
	assert_int_equal(csv_split(text, sizeof(text), fields, &count), CSV_TOO_MANY);
}

static void test_print(void **state)
{
	static const char *const texts[] = {"",   "plain", "a,b", "say \"x\"", "two\nlines",
					    "\r", "=1+1",  "\"",  "{\"a\":1}"};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *printed = NULL;
		size_t bytes = 0, count = 0;
		static struct csv_field fields[CSV_FIELDS_MAX];
		FILE *stream = open_memstream(&printed, &bytes);
		assert_non_null(stream);
		csv_print(stream, texts[i], strlen(texts[i]));
		assert_int_equal(fclose(stream), 0);
		assert_int_equal(csv_split(printed, bytes, fields, &count), CSV_OK);
		assert_int_equal(count, 1);
		assert_int_equal(fields[0].bytes, strlen(texts[i]));
		assert_memory_equal(fields[0].text, texts[i], fields[0].bytes);
		free(printed);
	}
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

static int file_of(const char *bytes, size_t count)
{
	int fd = memfd_create("lines", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, count), count);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

struct expected {
	const char *text;
	uint64_t number;
	bool open_quote;
};

static void expect_lines(const char *file, bool quoted, const struct expected *expected, size_t count)
{
	struct line line;
	int fd = file_of(file, strlen(file));
	struct lines *lines = lines_open(fd, quoted, UINT64_MAX);
	assert_non_null(lines);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(lines_next(lines, &line), 1);
		assert_int_equal(line.bytes, strlen(expected[i].text));
		assert_memory_equal(line.text, expected[i].text, line.bytes);
		assert_int_equal(line.number, expected[i].number);
		assert_int_equal(line.open_quote, expected[i].open_quote);
		assert_false(line.too_long);
		assert_memory_equal(file + line.offset, expected[i].text, line.bytes);
	}
	assert_int_equal(lines_next(lines, &line), 0);
	assert_int_equal(lines_bytes(lines), strlen(file));
	lines_close(lines);
	close(fd);
}

#define EXPECT_LINES(file, quoted, ...)                                           \
	do {                                                                      \
		static const struct expected list[] = {__VA_ARGS__};              \
		expect_lines(file, quoted, list, sizeof(list) / sizeof(list[0])); \
	} while (0)

static void test_lines(void **state)
{
	(void)state;
	expect_lines("", true, NULL, 0);
	EXPECT_LINES("a", false, {"a", 1, false});
	EXPECT_LINES("a\n", true, {"a", 1, false});
	EXPECT_LINES("a\r\nb\n\nc", true, {"a", 1, false}, {"b", 2, false}, {"", 3, false}, {"c", 4, false});
	EXPECT_LINES("a\rb\r\r\n", false, {"a\rb\r", 1, false});
	EXPECT_LINES("x,\"a\nb\"\ny", true, {"x,\"a\nb\"", 1, false}, {"y", 3, false});
	EXPECT_LINES("x,\"a\nb\"\ny", false, {"x,\"a", 1, false}, {"b\"", 2, false}, {"y", 3, false});
	EXPECT_LINES("\"a\"\"\nb\"\"\"\nc", true, {"\"a\"\"\nb\"\"\"", 1, false}, {"c", 3, false});
	EXPECT_LINES("5\" disk\nb", true, {"5\" disk", 1, false}, {"b", 2, false});
	EXPECT_LINES("\"a\"x\"\nb", true, {"\"a\"x\"", 1, false}, {"b", 2, false});
	EXPECT_LINES("a\nx,\"b\nc\n", true, {"a", 1, false}, {"x,\"b\nc\n", 2, true});
}

/* Lines of every length about the limit, then one that must be read as if nothing had been. */
static void test_long_lines(void **state)
{
	static const size_t lengths[] = {LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, LINE_BYTES_MAX + 2,
					 LINE_BYTES_MAX + 600007};
	static const char *const ends[] = {"\n", "\r\n"};
	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (size_t quoted = 0; quoted < 4; quoted++) {
			const char *end = ends[quoted / 2];
			size_t bytes = lengths[i], all = bytes + strlen(end) + 4;
			char *text = malloc(all);
			struct line line;
			assert_non_null(text);
			memset(text, 'x', bytes);
			if (quoted % 2) {
				text[0] = text[bytes - 1] = '"';
				memset(text + bytes / 2, '\n', 3);
			}
			memcpy(text + bytes, end, strlen(end));
			memcpy(text + bytes + strlen(end), "tail", 4);
			int fd = file_of(text, all);
			struct lines *lines = lines_open(fd, quoted % 2, UINT64_MAX);
			assert_non_null(lines);
			assert_int_equal(lines_next(lines, &line), 1);
			assert_int_equal(line.too_long, bytes > LINE_BYTES_MAX);
			assert_int_equal(lines_next(lines, &line), 1);
			assert_int_equal(line.bytes, 4);
			assert_memory_equal(line.text, "tail", 4);
			assert_int_equal(line.number, quoted % 2 ? 5 : 2);
			assert_int_equal(line.offset, all - 4);
			assert_int_equal(lines_next(lines, &line), 0);
			lines_close(lines);
			close(fd);
			free(text);
		}
	}
}

/* The same lines come out of a pipe that gives a few bytes at a time. */
static void test_small_reads(void **state)
{
	static const char text[] = "time,\"a\nb\"\r\n\"x\"\"y\",2\r\nlast";
	static const char *const expected[] = {"time,\"a\nb\"", "\"x\"\"y\",2", "last"};
	struct line line;
	int ends[2];
	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child) {
		for (size_t i = 0; i < sizeof(text) - 1; i++) {
			if (write(ends[1], text + i, 1) != 1)
				_exit(1);
			usleep(200);
		}
		_exit(0);
	}
	close(ends[1]);
	struct lines *lines = lines_open(ends[0], true, UINT64_MAX);
	assert_non_null(lines);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(lines_next(lines, &line), 1);
		assert_int_equal(line.bytes, strlen(expected[i]));
		assert_memory_equal(line.text, expected[i], line.bytes);
	}
	assert_int_equal(lines_next(lines, &line), 0);
	lines_close(lines);
	close(ends[0]);
}

static void test_bytes_max(void **state)
{
	struct line line;
	(void)state;
	int fd = file_of("a\nb\nc\n", 6);
	struct lines *lines = lines_open(fd, false, 4);
	assert_non_null(lines);
	assert_int_equal(lines_next(lines, &line), 1);
	assert_int_equal(lines_next(lines, &line), 1);
	assert_int_equal(lines_next(lines, &line), 0);
	assert_int_equal(lines_bytes(lines), 4);
	lines_close(lines);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),    cmocka_unit_test(test_too_many),   cmocka_unit_test(test_print),
		cmocka_unit_test(test_lines),     cmocka_unit_test(test_long_lines), cmocka_unit_test(test_small_reads),
		cmocka_unit_test(test_bytes_max),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
