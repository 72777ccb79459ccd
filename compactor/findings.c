/* What was found wrong on the way. */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "os.h"

static void keep(struct findings *findings, enum finding_kind kind, const char *text)
{
	if (findings->count == FINDINGS_KEPT_MAX)
		return;
	if (!findings->items)
		findings->items = os_allocate(FINDINGS_KEPT_MAX, sizeof(*findings->items));
	/* Without memory for the sentence its count stands. */
	char *copy = findings->items ? os_duplicate(text) : NULL;
	if (copy)
		findings->items[findings->count++] = (struct finding){kind, copy};
}

void findings_add(struct findings *findings, enum finding_kind kind, const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	findings->counts[kind]++;
	keep(findings, kind, text);
}

void findings_add_all(struct findings *findings, const struct findings *more)
{
	for (size_t i = 0; i < more->count; i++)
		keep(findings, more->items[i].kind, more->items[i].text);
	for (size_t kind = 0; kind < FINDING_KINDS; kind++)
		findings->counts[kind] += more->counts[kind];
}

void findings_clear(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free(findings->items[i].text);
	free(findings->items);
	*findings = (struct findings){0};
}
