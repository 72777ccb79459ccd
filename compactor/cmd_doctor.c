/* usagelog doctor: what is and is not well, in plain words, or as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "doctor.h"
#include "json_text.h"

enum { TEXT_COLUMN = 22, COLUMNS = 79 };

static const char *const states[CHECK_STATES] = {"ok", "note", "warning"};

static const char *text_of(const struct check *check)
{
	return check->text ? check->text : "(no memory to say it)";
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

/* Words one after the other, in lines that begin at TEXT_COLUMN and fit a terminal; a word that is longer has a line of its own. */
static void print_wrapped(const char *text)
{
	size_t used = 0;
	while (*text) {
		size_t bytes = strcspn(text, " ");
		if (used && TEXT_COLUMN + used + 1 + bytes > COLUMNS) {
			printf("\n%*s", TEXT_COLUMN, "");
			used = 0;
		}
		if (used)
			putchar(' ');
		print_safely(stdout, text, bytes);
		used += bytes + (used > 0);
		text += bytes + strspn(text + bytes, " ");
	}
	putchar('\n');
}

static void print_text(const struct doctor *doctor, bool quiet)
{
	for (size_t i = 0; i < doctor->count; i++) {
		const struct check *check = &doctor->checks[i];
		if (quiet && check->state != CHECK_WARNING)
			continue;
		printf("%-8s %-12s ", states[check->state], check->name);
		print_wrapped(text_of(check));
	}
	if (quiet)
		return;
	if (doctor->warnings)
		printf("%zu warning%s\n", doctor->warnings, doctor->warnings == 1 ? "" : "s");
	else
		printf("all is well\n");
}

/* ---- for scripts --------------------------------------------------------------------------------------------------- */

static void put_figure(struct json_text *json, const char *key, int64_t value)
{
	if (value < 0)
		json_null(json, json_key(key));
	else
		json_integer(json, json_key(key), value);
}

static void put_figures(struct json_text *json, const struct doctor_figures *figures)
{
	int64_t oldest = figures->oldest_pending_ns;
	json_begin_object(json, json_key("figures"));
	put_figure(json, "free_bytes", figures->free_bytes);
	put_figure(json, "live_segments", figures->live_segments);
	put_figure(json, "pending_calls", figures->pending_calls);
	put_figure(json, "oldest_pending_s", oldest < 0 ? -1 : oldest / 1000000000);
	put_figure(json, "not_durable_calls", figures->not_durable_calls);
	put_figure(json, "last_compact_age_s", figures->last_compact_age_s);
	put_figure(json, "dropped_calls", figures->dropped_calls);
	put_figure(json, "damaged_slots", figures->damaged_slots);
	json_end(json);
}

static int print_json(const struct doctor *doctor)
{
	struct json_text json = {0};
	json_begin_object(&json, json_key(""));
	json_integer(&json, json_key("warnings"), (int64_t)doctor->warnings);
	json_begin_array(&json, json_key("checks"));
	for (size_t i = 0; i < doctor->count; i++) {
		json_in_a_line(&json);
		json_begin_object(&json, json_key(""));
		json_string(&json, json_key("name"), json_key(doctor->checks[i].name));
		json_string(&json, json_key("state"), json_key(states[doctor->checks[i].state]));
		json_string(&json, json_key("text"), json_key(text_of(&doctor->checks[i])));
		json_end(&json);
	}
	json_end(&json);
	put_figures(&json, &doctor->figures);
	json_end(&json);
	return json_text_print(&json);
}

/* ---- the command ----------------------------------------------------------------------------------------------------- */

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	static struct doctor doctor;
	bool json = false, quiet = false;
	const struct option_entry entries[] = {
		{"json", NULL, "print one JSON object", NULL, &json},
		{"quiet", NULL, "say only what is not well, as cron wants it", NULL, &quiet},
	};
	struct command_line line;
	int status = command_parse(command, entries, 2, log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (line.operand_count) {
		complain("doctor takes no operand, but \"%s\" was given; see usagelog doctor --help", line.operands[0]);
		return STATUS_USAGE;
	}
	doctor_look(&doctor, line.log);
	status = doctor.unreadable ? STATUS_FILES : doctor.warnings ? STATUS_PART : STATUS_DONE;
	if (!json) {
		print_text(&doctor, quiet);
	} else if (print_json(&doctor)) {
		complain("no memory to print what was found");
		status = STATUS_FILES;
	}
	doctor_clear(&doctor);
	return status;
}

const struct command command_doctor = {
	.name = "doctor",
	.operands = "",
	.summary = "say in plain words what is and is not well",
	.details = "Looks at io_uring, limits, filesystems, permissions, running programs, the\n"
		   "compactor, dropped calls and known damage, and says what a SIGKILL or a power\n"
		   "cut would lose right now. Changes nothing. Run it as the user, and in the\n"
		   "container, of the programs that record.\n"
		   "\n"
		   "Exit status: 0 all is well; 1 there are warnings; 8 there is no such log, or it\n"
		   "could not be read; 16 usage.",
	.run = run,
};
