/*
 * usagelog dump: every committed call, exactly, by segment and slot; segments in the order of their ids, which is
 * that of their making. One line is written at a time, so memory does not grow with the log.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "command.h"
#include "csv.h"
#include "log_open.h"
#include "money.h"
#include "timetext.h"

static const char *format_text = "jsonl";

static const struct option_entry entries[] = {
	{"format", "jsonl|csv", "default jsonl", &format_text, NULL},
};

/* The columns, in the order of a line: five parts, of which the definitions' are made once for many calls. */
static const char csv_header[] =
	"time,provider,model,operation,input_tokens,cache_read_tokens,cache_write_5m_tokens,"
	"cache_write_1h_tokens,output_tokens,reasoning_tokens,cost_usd,latency_ms,ttft_ms,error_type,"
	"service_tier,session_id,metadata,segment,slot,call_id,kind,calls,tokens,scope\n";

static bool csv; /* else JSON lines */

/* ---- definitions --------------------------------------------------------------------------------------------- */

/* A field of a line: "name":VALUE of JSON; the plain text of CSV. `value` of type UL_JSON_END is none. */
static void print_member(FILE *stream, const char *name, struct ul_json_span value)
{
	char plain[UL_CONTEXT_BYTES_MAX];
	if (!csv) {
		fprintf(stream, "\"%s\":", name);
		if (value.type == UL_JSON_END)
			fputs("null", stream);
		else
			fwrite(value.text, 1, value.bytes, stream);
		return;
	}
	if (value.type == UL_JSON_STRING) {
		ptrdiff_t bytes = ul_json_unescape(value, plain, sizeof(plain));
		csv_print(stream, plain, bytes < 0 ? 0 : (size_t)bytes);
	} else if (value.type != UL_JSON_END) {
		csv_print(stream, value.text, value.bytes);
	}
}

static void print_text(FILE *stream, const char *name, struct ul_text text)
{
	if (csv) {
		csv_print(stream, text.text, text.bytes);
		return;
	}
	fprintf(stream, "\"%s\":", name);
	calls_print_json(stream, text.text, text.bytes);
}

static void print_model(FILE *head, FILE *tail, struct ul_text provider, struct ul_text model)
{
	(void)tail;
	print_text(head, "provider", provider);
	putc(',', head);
	print_text(head, "model", model);
}

static void print_context_tail(FILE *stream, struct ul_json_span context)
{
	static const char *const names[] = {"error_type", "service_tier", "session_id", "metadata"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (i)
			putc(',', stream);
		print_member(stream, names[i], ul_json_member(context, names[i]));
	}
}

static void print_context(FILE *head, FILE *tail, struct ul_json_span context)
{
	print_member(head, "operation", ul_json_member(context, "operation"));
	print_context_tail(tail, context);
}

/* ---- one call ------------------------------------------------------------------------------------------------ */

/* Does CSV not say: the name; JSON: "name": before what is printed next. */
static void print_name(const char *name)
{
	if (csv)
		putchar(',');
	else
		printf(",\"%s\":", name);
}

static void print_none(void)
{
	if (!csv)
		fputs("null", stdout);
}

static void print_count(const char *name, uint64_t count)
{
	print_name(name);
	printf("%" PRIu64, count);
}

static void print_cost(int64_t cost_pico_usd, uint32_t flags)
{
	char money[MONEY_TEXT_BYTES];
	print_name("cost_usd");
	if (flags & UL_UNPRICED)
		print_none();
	else
		fwrite(money, 1, money_print(money, cost_pico_usd), stdout);
}

static void print_times(const struct ul_slot *slot)
{
	bool call = ul_slot_kind(slot) != UL_KIND_BALANCE;
	uint64_t us;
	print_name("latency_ms");
	if (call && calls_latency_us(slot, &us))
		calls_print_ms(stdout, us);
	else
		print_none();
	print_name("ttft_ms");
	if (call && slot->body.call.ttft_us)
		calls_print_ms(stdout, slot->body.call.ttft_us);
	else
		print_none();
}

/* The six counts, cost and times; of a balance, whose tokens are of unknown kind, only the cost. */
static void print_numbers(const struct ul_slot *slot)
{
	static const char *const names[] = {"input_tokens",          "cache_read_tokens", "cache_write_5m_tokens",
					    "cache_write_1h_tokens", "output_tokens",     "reasoning_tokens"};
	const struct ul_call_body *call = &slot->body.call;
	bool balance = ul_slot_kind(slot) == UL_KIND_BALANCE;
	const uint32_t counts[] = {call->input_tokens,          call->cache_read_tokens, call->cache_write_5m_tokens,
				   call->cache_write_1h_tokens, call->output_tokens,     call->reasoning_tokens};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		print_name(names[i]);
		if (balance)
			print_none();
		else
			printf("%" PRIu32, counts[i]);
	}
	print_cost(call->cost_pico_usd, slot->word);
	print_times(slot);
}

/* Where the slot is, its id, and what it is if not a call. */
static void print_end(const struct call_line *line)
{
	const struct ul_slot *slot = line->slot;
	enum ul_kind kind = ul_slot_kind(slot);
	char digits[UL_ID_TEXT_BYTES];
	ul_id_format(digits, line->segment);
	print_name("segment");
	printf(csv ? "%s" : "\"%s\"", digits);
	print_count("slot", line->number);
	print_name("call_id");
	if (line->call_id) {
		ul_id_format(digits, line->call_id);
		printf(csv ? "%s" : "\"%s\"", digits);
	} else {
		print_none();
	}
	if (kind == UL_KIND_CALL) {
		fputs(csv ? ",,,,\n" : "}\n", stdout);
		return;
	}
	print_name("kind");
	const char *name = kind == UL_KIND_REVERSAL ? "reversal" : "balance";
	printf(csv ? "%s" : "\"%s\"", name);
	if (kind == UL_KIND_BALANCE) {
		print_count("calls", slot->body.balance.calls);
		print_count("tokens", slot->body.balance.tokens);
		print_count("scope", slot->body.balance.scope);
		fputs(csv ? "\n" : "}\n", stdout);
	} else {
		fputs(csv ? ",,,\n" : "}\n", stdout);
	}
}

static int print_line(void *arg, const struct call_line *line)
{
	char time[TIMETEXT_BYTES];
	(void)arg;
	timetext_print(time, line->slot->body.call.time_ns);
	printf(csv ? "%s,%s,%s" : "{\"time\":\"%s\",%s,%s", time, line->model.head, line->context.head);
	print_numbers(line->slot);
	putchar(',');
	fputs(line->context.tail, stdout);
	print_end(line);
	/* Nobody to read the rest is no reason to read the rest of the log; main() says so. */
	return ferror(stdout) ? -EPIPE : 0;
}

static int print_header(void *arg, const struct checkpoint *checkpoint)
{
	(void)arg;
	(void)checkpoint;
	if (csv)
		fputs(csv_header, stdout);
	return 0;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	struct command_line line;
	struct ul_directory directory;
	int status = command_parse(command, entries, sizeof(entries) / sizeof(entries[0]), log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (line.operand_count) {
		complain("dump takes options only; \"%s\" is none", line.operands[0]);
		return STATUS_USAGE;
	}
	static const struct call_format format = {
		.model = print_model, .context = print_context, .line = print_line, .begin = print_header};
	csv = !strcmp(format_text, "csv");
	status = log_open_to_read(&directory, line.log);
	if (!status) {
		status = calls_take(&directory, &format, NULL);
		ul_directory_close(&directory);
	}
	return status;
}

const struct command command_dump = {
	.name = "dump",
	.operands = "",
	.summary = "print every committed call, exactly",
	.details = "One line a call, by segment and slot; what a call does not have is null, or\n"
		   "empty. Costs and times are exact decimal numbers. import takes both formats\n"
		   "without --map.\n"
		   "\n"
		   "Exit status: 0 all shown; 1 a part could not be, or is gone; 8 the log could\n"
		   "not be read; 16 usage.",
	.run = run,
};
