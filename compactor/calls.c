/* Every call of a log, with its names as text. */
#include "calls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "merge.h"
#include "os.h"
#include "pass.h"
#include "recovery.h"

/* What the definition in a slot makes of a line. */
struct fragment {
	uint32_t slot; /* 0: none */
	char *head, *tail;
};
enum { FRAGMENTS = 1024 };

struct taking {
	const struct call_format *format;
	void *arg;
	struct group_reader *reader;
	struct fragment models[FRAGMENTS], contexts[FRAGMENTS];
	char text[UL_CONTEXT_BYTES_MAX];
};

/* ---- text ---------------------------------------------------------------------------------------------------- */

void calls_print_json(FILE *stream, const char *text, size_t bytes)
{
	char quoted[6 * UL_CONTEXT_BYTES_MAX + 2];
	ptrdiff_t length = ul_json_quote(text, bytes, quoted, sizeof(quoted));
	fwrite(quoted, 1, length < 0 ? 0 : (size_t)length, stream);
}

void calls_print_ms(FILE *stream, uint64_t us)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%" PRIu64 ".%03u", us / 1000, (unsigned)(us % 1000));
	while (text[length - 1] == '0')
		length--;
	if (text[length - 1] == '.')
		length--;
	fwrite(text, 1, (size_t)length, stream);
}

/* ---- definitions --------------------------------------------------------------------------------------------- */

static void make_model(const struct call_format *format, FILE *head, FILE *tail, const char *text, size_t bytes)
{
	static const char unknown[] = "(unknown)\0(unknown)";
	if (!bytes) {
		text = unknown;
		bytes = sizeof(unknown) - 1;
	}
	size_t provider_bytes = strnlen(text, bytes);
	format->model(head, tail, (struct ul_text){text, (uint32_t)provider_bytes},
		      (struct ul_text){text + provider_bytes + 1, (uint32_t)(bytes - provider_bytes - 1)});
}

/* Fill in a fragment from a definition's text (no bytes: there is none that is valid). 0 or -ENOMEM. */
static int make_fragment(struct fragment *fragment, const struct call_format *format, enum ul_class text_class,
			 const char *text, size_t bytes)
{
	static const char none[] = "{}";
	size_t head_bytes, tail_bytes;
	FILE *head = os_memory_stream(&fragment->head, &head_bytes),
	     *tail = os_memory_stream(&fragment->tail, &tail_bytes);
	if (head && tail && text_class == UL_CLASS_MODEL)
		make_model(format, head, tail, text, bytes);
	else if (head && tail)
		format->context(head, tail, ul_json_parse(bytes ? text : none, bytes ? bytes : sizeof(none) - 1));
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

/* The fragment of the definition at `slot`; 0: of none. 0 or a negative code. */
static int get_text(struct taking *taking, enum ul_class text_class, uint32_t slot, struct call_text *text)
{
	struct fragment *fragment =
		&(text_class == UL_CLASS_MODEL ? taking->models : taking->contexts)[slot % FRAGMENTS];
	if (!fragment->head || fragment->slot != slot) {
		ssize_t bytes = slot ? group_text(taking->reader, slot, text_class, taking->text) : 0;
		if (bytes < 0 && bytes != USAGELOG_ERROR_SEGMENT)
			return (int)bytes;
		clear_fragment(fragment);
		fragment->slot = slot;
		int error = make_fragment(fragment, taking->format, text_class, taking->text,
					  bytes < 0 ? 0 : (size_t)bytes);
		if (error)
			return error;
	}
	*text = (struct call_text){fragment->head, fragment->tail};
	return 0;
}

static void clear_fragments(struct taking *taking)
{
	for (size_t i = 0; i < FRAGMENTS; i++) {
		clear_fragment(&taking->models[i]);
		clear_fragment(&taking->contexts[i]);
	}
}

/* ---- slots --------------------------------------------------------------------------------------------------- */

static int visit(void *arg, uint32_t number, const struct ul_slot *slot, const struct ul_slot *before)
{
	struct taking *taking = arg;
	const struct call_format *format = taking->format;
	enum ul_kind kind = ul_slot_kind(slot);
	if (kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL && kind != UL_KIND_BALANCE)
		return 0;
	struct call_line line = {.slot = slot, .segment = &taking->reader->group->id, .number = number};
	if (before && ul_slot_kind(before) == UL_KIND_CALL_ID)
		line.call_id = &before->body.call_id;
	if ((format->wanted && !format->wanted(taking->arg, &line)) || !format->line)
		return 0;
	int error = get_text(taking, UL_CLASS_MODEL, slot->tag & UL_SLOT_MASK, &line.model);
	if (!error)
		error = get_text(taking, UL_CLASS_CONTEXT, slot->word & UL_SLOT_MASK, &line.context);
	return error ? error : format->line(taking->arg, &line);
}

/* ---- the log ------------------------------------------------------------------------------------------------- */

/* What was folded, which says what must be there; and what of it is gone. */
struct folded {
	struct names names;
	struct recovery_state state;
	struct findings findings;
};

/* Without a checkpoint that can be read nothing is known to be gone, and all slots that are there are taken. 0 or -ENOMEM. */
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

static int take_group(struct taking *taking, const struct segments *segments, const struct segment_group *group,
		      struct folded *folded, struct findings *findings, struct slot_counts *counts)
{
	static const struct runs none;
	const struct segment_state *state = checkpoint_find_segment(&folded->state.checkpoint, &group->id);
	struct group_reader reader;
	int error = group_open(&reader, segments, group, findings);
	if (error)
		return error;
	taking->reader = &reader;
	if (state)
		pass_report_cut(&folded->findings, &reader, &state->runs);
	error = group_visit(&reader, &none, false, visit, taking, counts);
	clear_fragments(taking);
	group_close(&reader);
	return error;
}

/* What of the log could not be taken. */
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

static int take_log(struct taking *taking, const struct ul_directory *directory)
{
	struct findings findings = {0};
	struct slot_counts counts = {0};
	struct segments segments;
	struct folded folded;
	int status = STATUS_FILES;
	bool ended = false;
	/* The checkpoint first: what a compactor folds from now on is of segments that the scan finds. */
	int error = load_folded(&folded, directory);
	if (!error)
		error = segments_scan(&segments, directory, &findings);
	if (!error) {
		if (taking->format->begin)
			error = taking->format->begin(taking->arg, &folded.state.checkpoint);
		for (size_t i = 0; i < segments.group_count && !ended; i++) {
			int failed = take_group(taking, &segments, &segments.groups[i], &folded, &findings, &counts);
			ended = failed == -EPIPE;
			error = error ? error : failed;
		}
		const struct pass pass = {
			.segments = &segments, .checkpoint = &folded.state.checkpoint, .findings = &folded.findings};
		pass_report_missing(&pass);
		segments_clear(&segments);
		status = STATUS_DONE;
		if (taking->format->line && !ended)
			status = tell(directory, &findings, &folded.findings, &counts);
	}
	if (error && !ended)
		complain("%s: not all of the log could be read: %s", directory->path, usagelog_strerror(error));
	clear_folded(&folded);
	findings_clear(&findings);
	return error ? STATUS_FILES : status;
}

int calls_take(const struct ul_directory *directory, const struct call_format *format, void *arg)
{
	struct taking *taking = os_allocate(1, sizeof(*taking));
	if (!taking) {
		complain("no memory to read the calls");
		return STATUS_FILES;
	}
	taking->format = format;
	taking->arg = arg;
	int status = take_log(taking, directory);
	free(taking);
	return status;
}
