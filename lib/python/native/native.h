/*
 * The insides of usagelog._native, the Python extension over libusagelog: what its files share. It is built against the
 * stable ABI of CPython 3.10, so one build serves all later ones, and is a leaf: nothing of usagelog uses it.
 *
 *     module.c     the module: types, exceptions, and what is not a method
 *     log.c        the type Log
 *     tracker.c    the type Tracker: the hot half of the drop-in UsageTracker
 *     names.c      Python's strings to handles of names
 *     values.c     Python's numbers, times and keywords to a call's fields
 *
 * The interpreter's lock (GIL) is held throughout, but for what may wait for the disk: open, close, flush, and record() in
 * the synchronous mode. Nothing that runs on the library's own thread touches Python.
 */
#ifndef USAGELOG_PYTHON_NATIVE_H
#define USAGELOG_PYTHON_NATIVE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030a0000
#include <Python.h>
#include <structmember.h>

#include <stdatomic.h>
#include <stdbool.h>

#include "handle.h"

/* ---- the module ------------------------------------------------------------------------------------------- */

/* The fields of a call, by their names everywhere. Those that make a context stand together, in the order of a context's parts. */
enum field {
	FIELD_PROVIDER,
	FIELD_MODEL,
	FIELD_INPUT_TOKENS,
	FIELD_CACHE_READ_TOKENS,
	FIELD_CACHE_WRITE_5M_TOKENS,
	FIELD_CACHE_WRITE_1H_TOKENS,
	FIELD_OUTPUT_TOKENS,
	FIELD_REASONING_TOKENS,
	FIELD_COST_USD,
	FIELD_LATENCY_MS,
	FIELD_TTFT_MS,
	FIELD_OPERATION,
	FIELD_ERROR_TYPE,
	FIELD_SERVICE_TIER,
	FIELD_SESSION_ID,
	FIELD_METADATA,
	FIELD_CALL_ID,
	FIELD_TIME,
	FIELD_COUNT
};

/* The arguments of Tracker.record(), and the members of what it returns. */
enum tracker_argument {
	ARGUMENT_MODEL,
	ARGUMENT_INPUT_TOKENS,
	ARGUMENT_OUTPUT_TOKENS,
	ARGUMENT_COST_USD,
	ARGUMENT_LATENCY_MS,
	ARGUMENT_OPERATION,
	ARGUMENT_METADATA,
	ARGUMENT_COUNT
};
enum tracker_key {
	KEY_TIMESTAMP,
	KEY_MODEL,
	KEY_PROVIDER,
	KEY_INPUT_TOKENS,
	KEY_OUTPUT_TOKENS,
	KEY_TOTAL_TOKENS,
	KEY_COST_USD,
	KEY_LATENCY_MS,
	KEY_OPERATION,
	KEY_METADATA,
	KEY_COUNT
};

struct native_state {
	PyObject *error;   /* usagelog.Error */
	PyObject *dropped; /* usagelog.Dropped, an Error */
	PyObject *fields[FIELD_COUNT];
	PyObject *arguments[ARGUMENT_COUNT];
	PyObject *keys[KEY_COUNT];
	PyObject *record;     /* a dict with all of these keys, in order */
	PyObject *chat;       /* "chat" */
	PyObject *dumps;      /* json.dumps */
	PyObject *dumps_args; /* its keywords */
	PyObject *decimal;    /* decimal.Decimal; NULL until one may be one */
	PyTypeObject *log_type;
};

extern PyType_Spec log_spec, tracker_spec;

/* The state of the module that the type, or one that it is derived from, is of. NULL with an exception. */
struct native_state *state_of(PyTypeObject *type);

/* Set the exception of an error of the library; `text` NULL: what usagelog_strerror() says. Returns NULL. */
PyObject *raise_error(struct native_state *state, int error, const char *text);

/* ---- values.c --------------------------------------------------------------------------------------------- */

#define LATENCY_US_MAX ((uint64_t)UINT32_MAX * 1000)

/* All of these: 0, or -1 with an exception. `name` is for its text. */
int value_count(PyObject *value, PyObject *name, uint32_t *out);
/* US dollars: float (its shortest decimal text), int, str, Decimal. Exact; beyond 1e-12 rounded, halves to even. */
int value_money(struct native_state *state, PyObject *value, int64_t *pico_usd);
/* ms, to us. */
int value_ms(PyObject *value, PyObject *name, uint64_t most_us, uint64_t *us);
/* Seconds since the epoch (float, int, Decimal or str, exactly), or a datetime, to ns. */
int value_time(struct native_state *state, PyObject *value, int64_t *ns);
/* A text that the library takes: no zero in it. NULL with an exception. It lives as long as the value. */
const char *value_text(PyObject *value, PyObject *name);
/* Metadata as JSON text: a str as it is, a mapping made one. A new reference. NULL with an exception. */
PyObject *value_json(struct native_state *state, PyObject *value);

/*
 * Which field each keyword of a call is. A place in a program that calls gives the same tuple of names each time, so where
 * the tuple is known nothing is compared.
 */
enum { CALL_SITES = 16, CALL_SITE_NAMES_MAX = 24 };
struct call_site {
	PyObject *names; /* the tuple; held, so that its address stays its own */
	uint8_t fields[CALL_SITE_NAMES_MAX];
};
/* The fields of these keywords, by `names` (`count` of them); NULL with an exception. Valid until the next call. */
const uint8_t *call_site_find(struct call_site sites[CALL_SITES], PyObject *keywords, PyObject *const *names,
			      int count);
void call_sites_clear(struct call_site sites[CALL_SITES]);

/* ---- names.c ---------------------------------------------------------------------------------------------- */

/* The parts of a context, in order; NULL: not given. */
enum { CONTEXT_PARTS = 5 };

enum { NAMES_CACHED = 256, NAMES_RECENT = 64 };
struct cached_model {
	PyObject *provider, *model;
	Py_hash_t hash;
	usagelog_model handle;
};
struct cached_context {
	PyObject *parts[CONTEXT_PARTS];
	Py_hash_t hash;
	usagelog_context handle;
};
/* Handles by the strings that they were got with. By hash there is one place, and a new one takes it; before that, where the objects
 * themselves stand in memory says which place may hold them, and that it does is seen without a look into them. */
struct name_cache {
	struct cached_model *recent_models[NAMES_RECENT];
	struct cached_context *recent_contexts[NAMES_RECENT];
	struct cached_model models[NAMES_CACHED];
	struct cached_context contexts[NAMES_CACHED];
};
void name_cache_clear(struct name_cache *cache);
/* 0, an error of the library, or 1 with an exception. Exact str objects only. */
int name_cache_model(struct name_cache *cache, usagelog *log, PyObject *const fields[FIELD_COUNT], PyObject *provider,
		     PyObject *model, usagelog_model *out);
/* The strings that the library takes; 1 with an exception. */
int name_parts_read(PyObject *const fields[FIELD_COUNT], PyObject *const parts[CONTEXT_PARTS],
		    struct usagelog_attributes *attributes);
int name_cache_context(struct name_cache *cache, usagelog *log, PyObject *const fields[FIELD_COUNT],
		       PyObject *const parts[CONTEXT_PARTS], usagelog_context *out);

/* ---- log.c ------------------------------------------------------------------------------------------------ */

/* Warnings on their way from whatever thread to Python: one thread puts, one takes. */
enum { WARNINGS_MAX = 16 };
struct warning {
	int error;
	char text[1024];
};
struct warnings {
	_Atomic uint32_t put, taken;
	struct warning items[WARNINGS_MAX];
};

struct log {
	PyObject ob_base;
	struct native_state *state;
	usagelog *handle; /* NULL: closed */
	bool synchronous;
	/* Threads of this process that use the handle without the GIL. */
	_Atomic uint32_t busy_count;
	_Atomic int busy_process;
	struct warnings *warnings;
	struct name_cache names;
	struct call_site sites[CALL_SITES];
};

/* The names of a call. Exact str objects; NULL: not given. */
struct call_names {
	PyObject *provider, *model;
	PyObject *parts[CONTEXT_PARTS];
	bool fresh; /* the context is like no other's: not to be remembered */
};
/* 0, an error of the library, or 1 with an exception. The GIL is let go of if it may block. The log is open. */
int log_record(struct log *log, const struct call_names *names, const struct usagelog_call *call);
/* True if it is open; else there is an exception. */
bool log_is_open(struct log *log);

#endif
