/* The calls of a log for other programs: which of them, each once, and what is said of the rest. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "money.h"
#include "standing.h"

struct exporting {
	struct export export;
	const struct export_format *format;
	struct export_period period;
	struct standing standing;
	uint64_t balances_left_out;
	uint64_t pruned_calls, pruned_segments;
};

/* The id that a call is known by wherever the export goes: its own, or one made of where it stands, which does not change either. */
static struct ul_id id_of(const struct call_line *line)
{
	static const char domain[] = "slot";
	uint8_t place[sizeof(domain) + sizeof(*line->segment) + sizeof(line->number)];
	struct ul_id id;
	XXH128_canonical_t canonical;
	if (line->call_id)
		return *line->call_id;
	memcpy(place, domain, sizeof(domain));
	memcpy(place + sizeof(domain), line->segment, sizeof(*line->segment));
	memcpy(place + sizeof(domain) + sizeof(*line->segment), &line->number, sizeof(line->number));
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(place, sizeof(place)));
	memcpy(id.bytes, canonical.digest, sizeof(id.bytes));
	return id;
}

static bool is_wanted(void *arg, const struct call_line *line)
{
	struct exporting *exporting = arg;
	enum ul_kind kind = ul_slot_kind(line->slot);
	int64_t time_ns = line->slot->body.call.time_ns;
	if (kind == UL_KIND_REVERSAL || time_ns < exporting->period.since_ns || time_ns >= exporting->period.until_ns)
		return false;
	if (kind == UL_KIND_BALANCE && exporting->format->calls_only) {
		exporting->balances_left_out++;
		return false;
	}
	return standing_has(&exporting->standing, line);
}

static int print_line(void *arg, const struct call_line *line)
{
	struct exporting *exporting = arg;
	struct export *export = &exporting->export;
	struct ul_id id = id_of(line);
	exporting->format->line(export, line, &id);
	export->lines++;
	return ferror(export->stream) ? -EPIPE : 0;
}

static int begin(void *arg, const struct checkpoint *checkpoint)
{
	struct exporting *exporting = arg;
	for (size_t i = 0; i < checkpoint->segment_count; i++) {
		const struct ul_folded_segment *segment = &checkpoint->segments[i].record;
		if (!(segment->state & UL_SEGMENT_PRUNED))
			continue;
		exporting->pruned_segments++;
		exporting->pruned_calls += (uint64_t)segment->calls;
	}
	if (exporting->format->begin)
		exporting->format->begin(&exporting->export);
	return 0;
}

/* What the export does not hold, and why. */
static int tell(const struct exporting *exporting, const char *path)
{
	const struct standing *standing = &exporting->standing;
	char calls[MONEY_SHOWN_BYTES];
	int status = STATUS_DONE;
	if (exporting->pruned_segments) {
		count_show(calls, (int64_t)exporting->pruned_calls);
		complain("%s: %s call%s in %" PRIu64
			 " segment%s that retention deleted: in the totals (usagelog summary), "
			 "but not in this export",
			 path, calls, exporting->pruned_calls == 1 ? " was" : "s were", exporting->pruned_segments,
			 exporting->pruned_segments == 1 ? "" : "s");
	}
	if (standing->twice) {
		count_show(calls, (int64_t)standing->twice);
		complain("%s: %s call%s the id of another one, and each id is exported once; the totals count them all",
			 path, calls, standing->twice == 1 ? " has" : "s have");
		status = STATUS_PART;
	}
	if (standing->unmatched) {
		count_show(calls, (int64_t)standing->unmatched);
		complain("%s: %s reversal%s a call that is not there any more; the totals are less by that", path,
			 calls, standing->unmatched == 1 ? " takes back" : "s take back, each,");
		status = STATUS_PART;
	}
	if (exporting->balances_left_out) {
		count_show(calls, (int64_t)exporting->balances_left_out);
		complain("%s: %s opening balance%s no call, and not in this export; --format jsonl has them", path,
			 calls, exporting->balances_left_out == 1 ? " is" : "s are");
		status = STATUS_PART;
	}
	return status;
}

int export_calls(const struct ul_directory *directory, enum export_kind kind, struct export_period period, FILE *stream)
{
	static const struct export_format *const formats[] = {
		[EXPORT_JSONL] = &export_jsonl, [EXPORT_CSV] = &export_csv, [EXPORT_OTLP] = &export_otlp};
	struct exporting exporting = {.export.stream = stream, .format = formats[kind], .period = period};
	struct call_format format = formats[kind]->texts;
	format.begin = begin;
	format.wanted = is_wanted;
	format.line = print_line;
	ul_id_format(exporting.export.log_id, &directory->conf.log_id);
	int status = standing_read(&exporting.standing, directory);
	if (!status) {
		status = calls_take(directory, &format, &exporting);
		if (status != STATUS_FILES && formats[kind]->end)
			formats[kind]->end(&exporting.export);
		int told = status == STATUS_FILES ? STATUS_DONE : tell(&exporting, directory->path);
		status = status ? status : told;
	}
	standing_clear(&exporting.standing);
	return status;
}
