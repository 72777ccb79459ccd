/*
 * usagelog dump: every committed call, exactly, by segment and slot; segments in the order of their ids, which is
 * that of their making. One line is written at a time, so memory does not grow with the log.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "csv.h"
#include "json.h"
#include "log_open.h"
#include "merge.h"
#include "money.h"
#include "os.h"
#include "pass.h"
#include "recovery.h"
#include "slot.h"
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

/* What the definition in a slot makes of a line: of a model provider and model; of a context the operation, and the
 * rest. */
struct fragment {
	uint32_t slot; /* 0: none */
	char *head, *tail;
};
enum { FRAGMENTS = 1024 };

struct dump {
	bool csv;
	struct group_reader *reader;
	char segment[UL_ID_TEXT_BYTES];
	struct fragment models[FRAGMENTS], contexts[FRAGMENTS];
	char text[UL_CONTEXT_BYTES_MAX];
};

/* ---- definitions --------------------------------------------------------------------------------------------- */

/* A field of a line: "name":VALUE of JSON; the plain text of CSV. `value` of type UL_JSON_END is none. */
static void print_member(FILE *stream, bool csv, const char *name, struct ul_json_span value)
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

static void print_text(FILE *stream, bool csv, const char *name, const char *text, size_t bytes)
{
	char quoted[6 * UL_NAME_BYTES_MAX + 2];
	if (csv) {
		csv_print(stream, text, bytes);
		return;
	}
	ptrdiff_t length = ul_json_quote(text, bytes, quoted, sizeof(quoted));
	fprintf(stream, "\"%s\":%.*s", name, length < 0 ? 0 : (int)length, quoted);
}

static void print_model(FILE *stream, bool csv, const char *text, size_t bytes)
{
	static const char unknown[] = "(unknown)\0(unknown)";
	if (!bytes) {
		text = unknown;
		bytes = sizeof(unknown) - 1;
	}
	size_t provider_bytes = strnlen(text, bytes);
	print_text(stream, csv, "provider", text, provider_bytes);
	putc(',', stream);
	print_text(stream, csv, "model", text + provider_bytes + 1, bytes - provider_bytes - 1);
}

static void print_context_tail(FILE *stream, bool csv, struct ul_json_span context)
{
	static const char *const names[] = {"error_type", "service_tier", "session_id", "metadata"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (i)
			putc(',', stream);
		print_member(stream, csv, names[i], ul_json_member(context, names[i]));
	}
}

/* Fill in a fragment from a definition's text (no bytes: there is none that is valid). 0 or -ENOMEM. */
static int make_fragment(struct fragment *fragment, bool csv, enum ul_class text_class, const char *text, size_t bytes)
{
	static const char none[] = "{}";
	size_t head_bytes, tail_bytes;
	FILE *head = open_memstream(&fragment->head, &head_bytes), *tail = open_memstream(&fragment->tail, &tail_bytes);
	if (head && tail && text_class == UL_CLASS_MODEL) {
		print_model(head, csv, text, bytes);
	} else if (head && tail) {
		struct ul_json_span context = ul_json_parse(bytes ? text : none, bytes ? bytes : sizeof(none) - 1);
		print_member(head, csv, "operation", ul_json_member(context, "operation"));
		print_context_tail(tail, csv, context);
	}
	bool failed = !head || !tail;
	failed |= head && fclose(head);
	failed |= tail && fclose(tail);
	return failed ? -ENOMEM : 0;
}

static void clear_fragment(struct fragment *fragment)
{
	free(fragment->head);
	free(fragment->tail);
	*fragment = (struct fragment){0};
}

/* The fragment of the definition at `slot`; 0: of none. NULL and `*error`. */
static const struct fragment *get_fragment(struct dump *dump, enum ul_class text_class, uint32_t slot, int *error)
{
	struct fragment *fragment = &(text_class == UL_CLASS_MODEL ? dump->models : dump->contexts)[slot % FRAGMENTS];
	if (fragment->head && fragment->slot == slot)
		return fragment;
	ssize_t bytes = slot ? group_text(dump->reader, slot, text_class, dump->text) : 0;
	if (bytes < 0 && bytes != USAGELOG_ERROR_SEGMENT) {
		*error = (int)bytes;
		return NULL;
	}
	clear_fragment(fragment);
	fragment->slot = slot;
	*error = make_fragment(fragment, dump->csv, text_class, dump->text, bytes < 0 ? 0 : (size_t)bytes);
	return *error ? NULL : fragment;
}

static void clear_fragments(struct dump *dump)
{
	for (size_t i = 0; i < FRAGMENTS; i++) {
		clear_fragment(&dump->models[i]);
		clear_fragment(&dump->contexts[i]);
	}
}

/* ---- one call ------------------------------------------------------------------------------------------------ */

/* Does CSV not say: the name; JSON: "name": before what is printed next. */
static void print_name(const struct dump *dump, const char *name)
{
	if (dump->csv)
		putchar(',');
	else
		printf(",\"%s\":", name);
}

static void print_none(const struct dump *dump)
{
	if (!dump->csv)
		fputs("null", stdout);
}

static void print_count(const struct dump *dump, const char *name, uint64_t count)
{
	print_name(dump, name);
	printf("%" PRIu64, count);
}

/* us as ms, exactly. */
static void print_ms(uint64_t us)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%" PRIu64 ".%03u", us / 1000, (unsigned)(us % 1000));
	while (text[length - 1] == '0')
		length--;
	if (text[length - 1] == '.')
		length--;
	fwrite(text, 1, (size_t)length, stdout);
}

static void print_cost(const struct dump *dump, int64_t cost_pico_usd, uint32_t flags)
{
	char money[MONEY_TEXT_BYTES];
	print_name(dump, "cost_usd");
	if (flags & UL_UNPRICED)
		print_none(dump);
	else
		fwrite(money, 1, money_print(money, cost_pico_usd), stdout);
}

static void print_times(const struct dump *dump, const struct ul_call_body *call, uint32_t flags)
{
	print_name(dump, "latency_ms");
	if (flags & UL_LATENCY_UNKNOWN)
		print_none(dump);
	else
		print_ms((uint64_t)call->latency * (flags & UL_LATENCY_MS ? 1000 : 1));
	print_name(dump, "ttft_ms");
	if (!call->ttft_us)
		print_none(dump);
	else
		print_ms(call->ttft_us);
}

/* The six counts, cost and times; of a balance, whose tokens are of unknown kind, only the cost. */
static void print_numbers(const struct dump *dump, const struct ul_slot *slot)
{
	static const char *const names[] = {"input_tokens",          "cache_read_tokens", "cache_write_5m_tokens",
					    "cache_write_1h_tokens", "output_tokens",     "reasoning_tokens"};
	const struct ul_call_body *call = &slot->body.call;
	bool balance = ul_slot_kind(slot) == UL_KIND_BALANCE;
	const uint32_t counts[] = {call->input_tokens,          call->cache_read_tokens, call->cache_write_5m_tokens,
				   call->cache_write_1h_tokens, call->output_tokens,     call->reasoning_tokens};
	static const struct ul_call_body none;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		print_name(dump, names[i]);
		if (balance)
			print_none(dump);
		else
			printf("%" PRIu32, counts[i]);
	}
	print_cost(dump, call->cost_pico_usd, slot->word);
	print_times(dump, balance ? &none : call, balance ? UL_LATENCY_UNKNOWN : slot->word);
}

/* Where the slot is, its id, and what it is if not a call. */
static void print_end(const struct dump *dump, uint32_t number, const struct ul_slot *slot,
		      const struct ul_slot *before)
{
	enum ul_kind kind = ul_slot_kind(slot);
	char digits[UL_ID_TEXT_BYTES];
	print_name(dump, "segment");
	printf(dump->csv ? "%s" : "\"%s\"", dump->segment);
	print_count(dump, "slot", number);
	print_name(dump, "call_id");
	if (kind != UL_KIND_BALANCE && before && ul_slot_kind(before) == UL_KIND_CALL_ID) {
		ul_id_format(digits, &before->body.call_id);
		printf(dump->csv ? "%s" : "\"%s\"", digits);
	} else {
		print_none(dump);
	}
	if (kind == UL_KIND_CALL) {
		fputs(dump->csv ? ",,,,\n" : "}\n", stdout);
		return;
	}
	print_name(dump, "kind");
	const char *name = kind == UL_KIND_REVERSAL ? "reversal" : "balance";
	printf(dump->csv ? "%s" : "\"%s\"", name);
	if (kind == UL_KIND_BALANCE) {
		print_count(dump, "calls", slot->body.balance.calls);
		print_count(dump, "tokens", slot->body.balance.tokens);
		print_count(dump, "scope", slot->body.balance.scope);
		fputs(dump->csv ? "\n" : "}\n", stdout);
	} else {
		fputs(dump->csv ? ",,,\n" : "}\n", stdout);
	}
}

static int visit(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct dump *dump = arg;
	enum ul_kind kind = ul_slot_kind(slot);
	char time[TIMETEXT_BYTES];
	int error = 0;
	if (kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL && kind != UL_KIND_BALANCE)
		return 0;
	const struct fragment *model = get_fragment(dump, UL_CLASS_MODEL, slot->tag & UL_SLOT_MASK, &error);
	const struct fragment *context =
		error ? NULL : get_fragment(dump, UL_CLASS_CONTEXT, slot->word & UL_SLOT_MASK, &error);
	if (error)
		return error;
	timetext_print(time, slot->body.call.time_ns);
	printf(dump->csv ? "%s,%s,%s" : "{\"time\":\"%s\",%s,%s", time, model->head, context->head);
	print_numbers(dump, slot);
	putchar(',');
	fputs(context->tail, stdout);
	print_end(dump, number, slot, before);
	/* Nobody to read the rest is no reason to read the rest of the log; main() says so. */
	return ferror(stdout) ? -EIO : 0;
}

/* ---- the log ------------------------------------------------------------------------------------------------- */

/* What was folded, which says what must be there; and what of it is gone. */
struct folded {
	struct names names;
	struct recovery_state state;
	struct findings findings;
};

/* Without a checkpoint that can be read nothing is known to be gone, and all slots that are there are shown. 0 or -ENOMEM. */
static int load_folded(struct folded *folded, const struct ul_directory *directory)
{
	struct findings findings = {0};
	struct ul_message why;
	*folded = (struct folded){0};
	int error = names_init(&folded->names);
	if (!error)
		error = recovery_load(&folded->state, &folded->names, directory, &findings, &why);
	findings_clear(&findings);
	return error == -ENOMEM ? error : 0;
}

static void clear_folded(struct folded *folded)
{
	checkpoint_clear(&folded->state.checkpoint);
	names_clear(&folded->names);
	findings_clear(&folded->findings);
}

static int dump_group(struct dump *dump, const struct segments *segments, const struct segment_group *group,
		      struct folded *folded, struct findings *findings, struct slot_counts *counts)
{
	static const struct runs none;
	const struct segment_state *state = checkpoint_find_segment(&folded->state.checkpoint, &group->id);
	struct group_reader reader;
	int error = group_open(&reader, segments, group, findings);
	if (error)
		return error;
	dump->reader = &reader;
	if (state)
		pass_report_cut(&folded->findings, &reader, &state->runs);
	ul_id_format(dump->segment, &group->id);
	error = group_visit(&reader, &none, false, visit, dump, counts);
	clear_fragments(dump);
	group_close(&reader);
	return error;
}

/* What of the log could not be shown. */
static int tell(const struct ul_directory *directory, const struct findings *findings, const struct findings *gone,
		const struct slot_counts *counts)
{
	int status = gone->count ? STATUS_PART : STATUS_DONE;
	for (size_t i = 0; i < gone->count; i++)
		complain("%s", gone->items[i].text);
	for (size_t i = 0; i < findings->count; i++) {
		if (findings->items[i].kind != FINDING_LEFT_OUT)
			continue;
		complain("%s", findings->items[i].text);
		status = STATUS_PART;
	}
	if (counts->damaged || counts->unknown || counts->conflicts) {
		complain("%s: not all slots could be shown as they were: %" PRIu64 " are damaged, %" PRIu64
			 " unknown to this version, %" PRIu64
			 " differ between two files of their segment; usagelog verify says where",
			 directory->path, counts->damaged, counts->unknown, counts->conflicts);
		status = STATUS_PART;
	}
	return status;
}

static int dump_log(struct dump *dump, const struct ul_directory *directory)
{
	struct findings findings = {0};
	struct slot_counts counts = {0};
	struct segments segments;
	struct folded folded;
	int status = STATUS_FILES;
	/* The checkpoint first: what a compactor folds from now on is of segments that the scan finds. */
	int error = load_folded(&folded, directory);
	if (!error)
		error = segments_scan(&segments, directory, &findings);
	if (!error) {
		if (dump->csv)
			fputs(csv_header, stdout);
		for (size_t i = 0; i < segments.group_count && !ferror(stdout); i++) {
			int failed = dump_group(dump, &segments, &segments.groups[i], &folded, &findings, &counts);
			error = error ? error : failed;
		}
		const struct pass pass = {
			.segments = &segments, .checkpoint = &folded.state.checkpoint, .findings = &folded.findings};
		pass_report_missing(&pass);
		segments_clear(&segments);
		status = tell(directory, &findings, &folded.findings, &counts);
	}
	if (error && !ferror(stdout)) {
		complain("%s: not all of the log could be read: %s", directory->path, usagelog_strerror(error));
		status = STATUS_FILES;
	}
	clear_folded(&folded);
	findings_clear(&findings);
	return status;
}

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
	struct dump *dump = os_allocate(1, sizeof(*dump));
	if (!dump) {
		complain("no memory to dump");
		return STATUS_FILES;
	}
	dump->csv = !strcmp(format_text, "csv");
	status = log_open_to_read(&directory, line.log);
	if (!status) {
		status = dump_log(dump, &directory);
		ul_directory_close(&directory);
	}
	free(dump);
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
