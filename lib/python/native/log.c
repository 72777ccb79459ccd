/*
 * The type Log: an open log to record to. What only reads, or folds, is not here: the program `usagelog` does that (see
 * usagelog/_program.py for why).
 */
#include "native.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os.h"

enum { WAIT_SLICE_MS = 100, CLOSE_WAIT_NS = 1000000000 };

/* ---- without the GIL -------------------------------------------------------------------------------------- */

/* A child has none of the parent's other threads. */
static void begin_busy(struct log *log)
{
	int process = getpid();
	if (atomic_load_explicit(&log->busy_process, memory_order_relaxed) != process) {
		atomic_store_explicit(&log->busy_count, 0, memory_order_relaxed);
		atomic_store_explicit(&log->busy_process, process, memory_order_relaxed);
	}
	atomic_fetch_add_explicit(&log->busy_count, 1, memory_order_relaxed);
}

static PyThreadState *enter(struct log *log)
{
	begin_busy(log);
	return PyEval_SaveThread();
}

static void leave(struct log *log, PyThreadState *thread)
{
	/* Release: pairs with the acquire in wait_for_others(). */
	atomic_fetch_sub_explicit(&log->busy_count, 1, memory_order_release);
	PyEval_RestoreThread(thread);
}

/* Who was about to use the handle, of which a later open may make another log, has a moment to begin. Whoever has begun is told by the
 * library that it was closed. */
static void wait_for_others(struct log *log)
{
	uint64_t end = os_monotonic_ns() + CLOSE_WAIT_NS;
	while (atomic_load_explicit(&log->busy_count, memory_order_acquire) > 1 && os_monotonic_ns() < end)
		os_pause();
}

/* ---- warnings --------------------------------------------------------------------------------------------- */

/* On any thread, never on two at once: no lock, so that a child made by fork() meanwhile finds none taken. */
static void put_warning(void *arg, int error, const char *message)
{
	struct warnings *warnings = arg;
	uint32_t put = atomic_load_explicit(&warnings->put, memory_order_relaxed);
	/* Acquire, and release below: pair with take_warnings(). */
	if (put - atomic_load_explicit(&warnings->taken, memory_order_acquire) == WARNINGS_MAX)
		return;
	struct warning *warning = &warnings->items[put % WARNINGS_MAX];
	warning->error = error;
	snprintf(warning->text, sizeof(warning->text), "%s", message);
	atomic_store_explicit(&warnings->put, put + 1, memory_order_release);
}

static PyObject *log_take_warnings(PyObject *self, PyObject *unused)
{
	struct log *log = (struct log *)self;
	(void)unused;
	PyObject *list = PyList_New(0);
	uint32_t taken = log->warnings ? atomic_load_explicit(&log->warnings->taken, memory_order_relaxed) : 0;
	while (list && log->warnings && taken != atomic_load_explicit(&log->warnings->put, memory_order_acquire)) {
		const struct warning *warning = &log->warnings->items[taken % WARNINGS_MAX];
		PyObject *text = PyUnicode_DecodeUTF8(warning->text, (Py_ssize_t)strlen(warning->text), "replace");
		PyObject *item = text ? Py_BuildValue("(iN)", warning->error, text) : NULL;
		if (!item || PyList_Append(list, item))
			Py_CLEAR(list);
		Py_XDECREF(item);
		atomic_store_explicit(&log->warnings->taken, ++taken, memory_order_release);
	}
	return list;
}

/* ---- open ------------------------------------------------------------------------------------------------- */

/* A sequence of str as the library's array of strings. `*held` keeps them alive. */
static int read_texts(PyObject *value, const char *name, const char **texts, size_t most, size_t *count,
		      PyObject **held)
{
	*held = NULL;
	*count = 0;
	if (!value || value == Py_None)
		return 0;
	if (PyUnicode_Check(value)) {
		PyErr_Format(PyExc_TypeError, "%s is a sequence of str, not one", name);
		return -1;
	}
	*held = PySequence_List(value);
	Py_ssize_t given = *held ? PyList_Size(*held) : -1;
	if (given > (Py_ssize_t)most) {
		PyErr_Format(PyExc_ValueError, "%s: at most %zu can be given", name, most);
		given = -1;
	}
	PyObject *label = given > 0 ? PyUnicode_FromString(name) : NULL;
	for (Py_ssize_t i = 0; i < given; i++) {
		texts[i] = value_text(PyList_GetItem(*held, i), label);
		if (!texts[i])
			given = -1;
	}
	Py_XDECREF(label);
	*count = given > 0 ? (size_t)given : 0;
	return given < 0 ? -1 : 0;
}

static int open_handle(struct log *log, const char *directory, const struct usagelog_options *options)
{
	usagelog *handle = NULL;
	PyThreadState *thread = enter(log);
	int error = usagelog_open(&handle, directory, options);
	leave(log, thread);
	if (!error) {
		log->handle = handle;
		log->synchronous = options->flags & USAGELOG_SYNCHRONOUS;
		return 0;
	}
	/* What the library says of it is a whole sentence. */
	uint32_t put = atomic_load_explicit(&log->warnings->put, memory_order_acquire);
	raise_error(log->state, error, put ? log->warnings->items[(put - 1) % WARNINGS_MAX].text : NULL);
	return -1;
}

/* The keywords of Log(), in the order of what is parsed. */
static const char *const open_keywords[] = {"directory",         "synchronous",      "helper",
					    "any_filesystem",    "must_exist",       "uring",
					    "flush_interval_ms", "flush_size_bytes", "segment_size_bytes",
					    "retry_count_max",   "retry_delay_ms",   "held_count_max",
					    "names_max",         "time_zone",        "fallback_directories",
					    "summary_path",      "group_by",         NULL};

static int log_init(PyObject *self, PyObject *args, PyObject *keywords)
{
	struct log *log = (struct log *)self;
	PyObject *path = NULL, *fallbacks = NULL, *group_by = NULL, *held[2] = {NULL, NULL};
	int synchronous = 0, helper = 1, any_filesystem = 0, must_exist = 0, uring = 1;
	unsigned long long flush_size = 0, segment_size = 0;
	const char *fallback_texts[UL_CONF_FALLBACKS_MAX], *group_texts[UL_CONF_GROUP_BY_MAX];
	struct usagelog_options options = {.size = sizeof(options), .warning = put_warning};
	int result = -1;
	if (log->handle) {
		PyErr_SetString(PyExc_RuntimeError, "this Log is open already");
		return -1;
	}
	if (!PyArg_ParseTupleAndKeywords(
		    args, keywords, "|O$pppppIKKIIIIzOzO:Log", (char **)(uintptr_t)open_keywords, &path, &synchronous,
		    &helper, &any_filesystem, &must_exist, &uring, &options.flush_interval_ms, &flush_size,
		    &segment_size, &options.retry_count_max, &options.retry_delay_ms, &options.held_count_max,
		    &options.names_max, &options.time_zone, &fallbacks, &options.summary_path, &group_by))
		return -1;
	options.flags = (synchronous ? USAGELOG_SYNCHRONOUS : 0) | (helper ? 0 : USAGELOG_NO_HELPER) |
			(any_filesystem ? USAGELOG_ALLOW_ANY_FILESYSTEM : 0) | (must_exist ? USAGELOG_MUST_EXIST : 0) |
			(uring ? 0 : USAGELOG_NO_URING);
	options.flush_size_bytes = flush_size;
	options.segment_size_bytes = segment_size;
	PyObject *bytes = NULL;
	if (path && path != Py_None && !PyUnicode_FSConverter(path, &bytes))
		return -1;
	if (!log->warnings)
		log->warnings = PyMem_Calloc(1, sizeof(*log->warnings));
	options.warning_arg = log->warnings;
	if (!log->warnings)
		PyErr_NoMemory();
	else if (!read_texts(fallbacks, "fallback_directories", fallback_texts, UL_CONF_FALLBACKS_MAX,
			     &options.fallback_directory_count, &held[0]) &&
		 !read_texts(group_by, "group_by", group_texts, UL_CONF_GROUP_BY_MAX, &options.group_by_count,
			     &held[1])) {
		options.fallback_directories = fallback_texts;
		options.group_by = group_texts;
		result = open_handle(log, bytes ? PyBytes_AsString(bytes) : NULL, &options);
	}
	Py_XDECREF(bytes);
	Py_XDECREF(held[0]);
	Py_XDECREF(held[1]);
	return result;
}

static PyObject *log_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
	(void)args;
	(void)keywords;
	struct native_state *state = state_of(type);
	allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	PyObject *self = state ? allocate(type, 0) : NULL;
	if (self)
		((struct log *)self)->state = state;
	return self;
}

bool log_is_open(struct log *log)
{
	if (likely(log->handle))
		return true;
	raise_error(log->state, USAGELOG_ERROR_CLOSED, NULL);
	return false;
}

/* ---- close ------------------------------------------------------------------------------------------------ */

/* Seconds, or None for no limit, as the library's ms. -2 with an exception. */
static int read_timeout(PyObject *value)
{
	if (value == Py_None)
		return -1;
	double seconds = PyFloat_AsDouble(value);
	if (seconds == -1 && PyErr_Occurred())
		return -2;
	if (isnan(seconds)) {
		PyErr_SetString(PyExc_ValueError, "timeout: not a number");
		return -2;
	}
	return seconds <= 0 ? 0 : seconds >= INT32_MAX / 1000 ? INT32_MAX : (int)ceil(seconds * 1000);
}

/* The GIL is held, and not let go of where an interpreter may be ending (`wait` false). */
static int close_handle(struct log *log, int timeout_ms, bool wait)
{
	usagelog *handle = log->handle;
	log->handle = NULL; /* from here on, nobody begins to use it */
	name_cache_clear(&log->names);
	PyThreadState *thread = wait ? enter(log) : NULL;
	if (wait)
		wait_for_others(log);
	int error = usagelog_close(handle, timeout_ms);
	if (wait)
		leave(log, thread);
	/* Then a thread that hangs on the disk may still warn. */
	if (error == USAGELOG_ERROR_TIMEOUT)
		log->warnings = NULL;
	return error;
}

static PyObject *log_close(PyObject *self, PyObject *args, PyObject *keywords)
{
	static const char *const names[] = {"timeout", NULL};
	struct log *log = (struct log *)self;
	PyObject *timeout = NULL;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:close", (char **)(uintptr_t)names, &timeout))
		return NULL;
	int timeout_ms = timeout ? read_timeout(timeout) : 5000;
	if (timeout_ms < -1)
		return NULL;
	int error = log->handle ? close_handle(log, timeout_ms, true) : 0;
	if (error == USAGELOG_ERROR_TIMEOUT)
		Py_RETURN_FALSE;
	if (error)
		return raise_error(log->state, error, NULL);
	Py_RETURN_TRUE;
}

static void log_dealloc(PyObject *self)
{
	struct log *log = (struct log *)self;
	PyTypeObject *type = Py_TYPE(self);
	/* Nobody else has it. What is committed stays so; to wait for the disk is close()'s. */
	if (log->handle)
		close_handle(log, 0, false);
	name_cache_clear(&log->names);
	call_sites_clear(log->sites);
	PyMem_Free(log->warnings);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
	release(self);
	Py_DECREF(type);
}

static PyObject *log_enter(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (!log_is_open((struct log *)self))
		return NULL;
	Py_INCREF(self);
	return self;
}

static PyObject *log_exit(PyObject *self, PyObject *args)
{
	(void)args;
	PyObject *closed = PyObject_CallMethod(self, "close", NULL);
	if (!closed)
		return NULL;
	Py_DECREF(closed);
	Py_RETURN_NONE;
}

/* ---- record ----------------------------------------------------------------------------------------------- */

static int record_fresh(struct log *log, const struct call_names *names, const struct usagelog_call *call)
{
	PyObject *const *fields = log->state->fields;
	struct usagelog_names texts;
	texts.provider = value_text(names->provider, fields[FIELD_PROVIDER]);
	texts.model = texts.provider ? value_text(names->model, fields[FIELD_MODEL]) : NULL;
	if (!texts.model || name_parts_read(fields, names->parts, &texts.attributes))
		return 1;
	if (!log->synchronous)
		return usagelog_record_names(log->handle, &texts, call);
	usagelog *handle = log->handle;
	PyThreadState *thread = enter(log);
	int error = usagelog_record_names(handle, &texts, call);
	leave(log, thread);
	return error;
}

int log_record(struct log *log, const struct call_names *names, const struct usagelog_call *call)
{
	usagelog_model model;
	usagelog_context context = {0};
	PyObject *const *fields = log->state->fields;
	PyObject *const *parts = names->parts;
	if (names->fresh)
		return record_fresh(log, names, call);
	int error = name_cache_model(&log->names, log->handle, fields, names->provider, names->model, &model);
	if (!error && (parts[0] || parts[1] || parts[2] || parts[3] || parts[4]))
		error = name_cache_context(&log->names, log->handle, fields, parts, &context);
	if (unlikely(error))
		return error == USAGELOG_ERROR_NAMES_FULL ? record_fresh(log, names, call) : error;
	if (likely(!log->synchronous))
		return usagelog_record(log->handle, model, context, call);
	usagelog *handle = log->handle;
	PyThreadState *thread = enter(log);
	error = usagelog_record(handle, model, context, call);
	leave(log, thread);
	return error;
}

/* A record() on its way. */
struct parsed {
	struct call_names names;
	struct usagelog_call call;
	PyObject *owned[FIELD_COUNT]; /* made on the way */
	uint32_t owned_count;
	uint8_t call_id[16];
};

/* All of it is zero at first, but for what is only looked at where something says so. */
static void parsed_begin(struct parsed *parsed)
{
	memset(&parsed->names, 0, sizeof(parsed->names));
	memset(&parsed->call, 0, sizeof(parsed->call));
	parsed->owned_count = 0;
}

static void parsed_end(struct parsed *parsed)
{
	for (uint32_t i = 0; i < parsed->owned_count; i++)
		Py_DECREF(parsed->owned[i]);
}

/* It lives as long as `parsed`. */
static PyObject *own(struct parsed *parsed, PyObject *made)
{
	if (made)
		parsed->owned[parsed->owned_count++] = made;
	return made;
}

/* A str, as one that is no subclass. */
static int take_name(struct parsed *parsed, struct native_state *state, enum field field, PyObject *value,
		     PyObject **out)
{
	if (unlikely(Py_TYPE(value) != &PyUnicode_Type)) {
		if (!value_text(value, state->fields[field]))
			return -1;
		value = own(parsed, PyUnicode_FromObject(value));
	}
	*out = value;
	return value ? 0 : -1;
}

static int take_metadata(struct parsed *parsed, struct native_state *state, PyObject *value)
{
	PyObject *text = own(parsed, value_json(state, value));
	parsed->names.parts[FIELD_METADATA - FIELD_OPERATION] = text;
	parsed->names.fresh = true;
	return text ? 0 : -1;
}

static int take_call_id(struct parsed *parsed, struct native_state *state, PyObject *value)
{
	const char *text = value_text(value, state->fields[FIELD_CALL_ID]);
	if (!text)
		return -1;
	usagelog_call_id(text, strlen(text), parsed->call_id);
	parsed->call.call_id = parsed->call_id;
	return 0;
}

static int take_value(struct parsed *parsed, struct native_state *state, enum field field, PyObject *value)
{
	struct usagelog_call *call = &parsed->call;
	PyObject *name = state->fields[field];
	uint64_t us;
	switch (field) {
	case FIELD_PROVIDER:
		return take_name(parsed, state, field, value, &parsed->names.provider);
	case FIELD_MODEL:
		return take_name(parsed, state, field, value, &parsed->names.model);
	case FIELD_INPUT_TOKENS:
		return value_count(value, name, &call->input_tokens);
	case FIELD_CACHE_READ_TOKENS:
		return value_count(value, name, &call->cache_read_tokens);
	case FIELD_CACHE_WRITE_5M_TOKENS:
		return value_count(value, name, &call->cache_write_5m_tokens);
	case FIELD_CACHE_WRITE_1H_TOKENS:
		return value_count(value, name, &call->cache_write_1h_tokens);
	case FIELD_OUTPUT_TOKENS:
		return value_count(value, name, &call->output_tokens);
	case FIELD_REASONING_TOKENS:
		return value_count(value, name, &call->reasoning_tokens);
	case FIELD_COST_USD:
		call->flags = USAGELOG_COST;
		return value_money(state, value, &call->cost_pico_usd);
	case FIELD_LATENCY_MS:
		return value_ms(value, name, LATENCY_US_MAX, &call->latency_us);
	case FIELD_TTFT_MS:
		if (value_ms(value, name, UINT32_MAX, &us))
			return -1;
		call->ttft_us = (uint32_t)us;
		return 0;
	case FIELD_OPERATION:
	case FIELD_ERROR_TYPE:
	case FIELD_SERVICE_TIER:
	case FIELD_SESSION_ID:
		return take_name(parsed, state, field, value, &parsed->names.parts[field - FIELD_OPERATION]);
	case FIELD_METADATA:
		return take_metadata(parsed, state, value);
	case FIELD_CALL_ID:
		return take_call_id(parsed, state, value);
	case FIELD_TIME:
		return value_time(state, value, &call->time_ns);
	case FIELD_COUNT:
		break;
	}
	return -1;
}

static int parse(struct log *log, struct parsed *parsed, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
	struct native_state *state = log->state;
	if (count > 2) {
		PyErr_SetString(PyExc_TypeError, "record() takes provider and model by place, and all else by name");
		return -1;
	}
	for (Py_ssize_t i = 0; i < count; i++)
		if (take_value(parsed, state, i ? FIELD_MODEL : FIELD_PROVIDER, args[i]))
			return -1;
	const uint8_t *fields = keywords ? call_site_find(log->sites, keywords, state->fields, FIELD_COUNT) : NULL;
	if (keywords && !fields)
		return -1;
	Py_ssize_t given = keywords ? PyTuple_Size(keywords) : 0;
	for (Py_ssize_t i = 0; i < given; i++) {
		enum field field = (enum field)fields[i];
		if ((Py_ssize_t)field < count) {
			PyErr_Format(PyExc_TypeError, "record() got %U twice", state->fields[field]);
			return -1;
		}
		if (args[count + i] != Py_None && take_value(parsed, state, field, args[count + i]))
			return -1;
	}
	if (parsed->names.provider && parsed->names.model)
		return 0;
	PyErr_SetString(PyExc_TypeError, "record() needs provider and model");
	return -1;
}

static PyObject *log_record_method(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
	struct log *log = (struct log *)self;
	struct parsed parsed;
	parsed_begin(&parsed);
	int error = 1;
	if (!parse(log, &parsed, args, count, keywords) && log_is_open(log))
		error = log_record(log, &parsed.names, &parsed.call);
	parsed_end(&parsed);
	if (likely(!error))
		Py_RETURN_TRUE;
	if (error == USAGELOG_ERROR_HELD)
		Py_RETURN_FALSE;
	return error == 1 ? NULL : raise_error(log->state, error, NULL);
}

static PyObject *log_record_balance(PyObject *self, PyObject *args, PyObject *keywords)
{
	static const char *const names_of[] = {"provider", "model", "time",     "calls", "tokens",
					       "cost_usd", "scope", "metadata", NULL};
	struct log *log = (struct log *)self;
	struct usagelog_names names = {0};
	struct ul_balance_body balance = {0};
	unsigned long long calls, tokens;
	PyObject *time, *cost;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "$ssOKKOIs:_record_balance", (char **)(uintptr_t)names_of,
					 &names.provider, &names.model, &time, &calls, &tokens, &cost, &balance.scope,
					 &names.attributes.metadata) ||
	    value_time(log->state, time, &balance.time_ns) || value_money(log->state, cost, &balance.cost_pico_usd) ||
	    !log_is_open(log))
		return NULL;
	balance.calls = calls;
	balance.tokens = tokens;
	usagelog *handle = log->handle;
	PyThreadState *thread = enter(log);
	int error = ul_record_balance(handle, &names, NULL, &balance);
	leave(log, thread);
	if (error)
		return raise_error(log->state, error, NULL);
	Py_RETURN_NONE;
}

/* ---- flush and stats -------------------------------------------------------------------------------------- */

/* In slices, so that Ctrl-C is heard: a flush that did not end goes on meanwhile. */
static int flush_in_slices(struct log *log, int timeout_ms)
{
	uint64_t begin = os_monotonic_ns();
	for (;;) {
		uint64_t spent_ms = (os_monotonic_ns() - begin) / 1000000;
		int left = timeout_ms < 0                    ? WAIT_SLICE_MS
			   : spent_ms < (uint64_t)timeout_ms ? timeout_ms - (int)spent_ms
							     : 0;
		int slice = left < WAIT_SLICE_MS ? left : WAIT_SLICE_MS;
		usagelog *handle = log->handle;
		if (!handle)
			return USAGELOG_ERROR_CLOSED;
		PyThreadState *thread = enter(log);
		int error = usagelog_flush(handle, slice);
		leave(log, thread);
		if (error != USAGELOG_ERROR_TIMEOUT || slice == left)
			return error;
		if (PyErr_CheckSignals())
			return 1;
	}
}

static PyObject *log_flush(PyObject *self, PyObject *args, PyObject *keywords)
{
	static const char *const names[] = {"timeout", NULL};
	struct log *log = (struct log *)self;
	PyObject *timeout = Py_None;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O:flush", (char **)(uintptr_t)names, &timeout))
		return NULL;
	int timeout_ms = read_timeout(timeout);
	if (timeout_ms < -1 || !log_is_open(log))
		return NULL;
	int error = flush_in_slices(log, timeout_ms);
	if (!error)
		Py_RETURN_TRUE;
	if (error == USAGELOG_ERROR_TIMEOUT || error == USAGELOG_ERROR_HELD)
		Py_RETURN_FALSE;
	return error == 1 ? NULL : raise_error(log->state, error, NULL);
}

static bool put(PyObject *dict, const char *key, PyObject *value)
{
	bool done = value && !PyDict_SetItemString(dict, key, value);
	Py_XDECREF(value);
	return done;
}

static bool put_count(PyObject *dict, const char *key, uint64_t count)
{
	return put(dict, key, PyLong_FromUnsignedLongLong(count));
}

static PyObject *render_dropped(const struct usagelog_stats *stats)
{
	static const char *const causes[] = {"space", "limit", "io", "permission", "gone", "reentered"};
	PyObject *dict = PyDict_New();
	for (size_t i = 0; dict && i < sizeof(causes) / sizeof(causes[0]); i++)
		if (!put_count(dict, causes[i], stats->dropped[i]))
			Py_CLEAR(dict);
	return dict;
}

static PyObject *render_stats(const struct usagelog_stats *stats)
{
	static const char *const backends[] = {"none", "syscall", "uring"};
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {
		{"attempted", stats->attempted},
		{"committed", stats->committed},
		{"durable", stats->durable},
		{"held", stats->held},
		{"syncs", stats->syncs},
		{"sync_errors", stats->sync_errors},
		{"rotations", stats->rotations},
		{"inline_rotations", stats->inline_rotations},
		{"inline_extensions", stats->inline_extensions},
		{"fallbacks", stats->fallbacks},
		{"retries", stats->retries},
		{"warnings", stats->warnings},
		{"oldest_unsynced_ms", stats->oldest_unsynced_ms},
		{"segments_mapped", stats->segments_mapped},
		{"names", stats->names},
		{"segment_in_fallback", stats->segment_in_fallback},
	};
	PyObject *dict = PyDict_New();
	bool done = dict != NULL;
	for (size_t i = 0; done && i < sizeof(counts) / sizeof(counts[0]); i++)
		done = put_count(dict, counts[i].name, counts[i].value);
	done = done && put(dict, "dropped", render_dropped(stats)) &&
	       put(dict, "backend", PyUnicode_FromString(backends[stats->backend])) &&
	       put(dict, "last_error_time", PyFloat_FromDouble((double)stats->last_error_time_ns / 1e9));
	if (done && stats->last_error)
		done = put(dict, "last_error", PyUnicode_FromString(usagelog_strerror(stats->last_error)));
	else if (done)
		done = !PyDict_SetItemString(dict, "last_error", Py_None);
	if (!done)
		Py_CLEAR(dict);
	return dict;
}

static PyObject *log_stats(PyObject *self, PyObject *unused)
{
	struct log *log = (struct log *)self;
	struct usagelog_stats stats = {.size = sizeof(stats)};
	(void)unused;
	if (!log_is_open(log))
		return NULL;
	usagelog *handle = log->handle;
	PyThreadState *thread = enter(log); /* the lock that it takes may be another's who waits for the disk */
	int error = usagelog_stats_get(handle, &stats);
	leave(log, thread);
	return error ? raise_error(log->state, error, NULL) : render_stats(&stats);
}

static PyObject *log_closed(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(!((struct log *)self)->handle);
}

/* ---- the type --------------------------------------------------------------------------------------------- */

#define METHOD(function) (PyCFunction)(void (*)(void))(function)
static PyMethodDef methods[] = {
	{"record", METHOD(log_record_method), METH_FASTCALL | METH_KEYWORDS,
	 "record($self, /, provider, model, *, input_tokens=0, cache_read_tokens=0, cache_write_5m_tokens=0, "
	 "cache_write_1h_tokens=0, output_tokens=0, reasoning_tokens=0, cost_usd=None, latency_ms=None, ttft_ms=None, "
	 "operation=None, error_type=None, service_tier=None, session_id=None, metadata=None, call_id=None, "
	 "time=None)\n--\n\n"
	 "Append one call. On return it survives the death of this process; in a synchronous log also loss of "
	 "power.\n\n"
	 "None is 'not given'; cost_usd=None is unpriced, which is not free. Counts are disjoint: input_tokens are "
	 "without\n"
	 "any that came from or went to a cache. True: committed. False: held in memory, until a file can be had. "
	 "Raises\n"
	 "Dropped if that memory is full too, ValueError or TypeError for what cannot be stored (nothing is recorded "
	 "then)."},
	{"_record_balance", METHOD(log_record_balance), METH_VARARGS | METH_KEYWORDS, NULL},
	{"flush", METHOD(log_flush), METH_VARARGS | METH_KEYWORDS,
	 "flush($self, /, timeout=None)\n--\n\n"
	 "Wait until all calls so far are durable, for so many seconds at most. False: not all are yet."},
	{"stats", log_stats, METH_NOARGS,
	 "stats($self, /)\n--\n\nWhat this handle did since it was opened (in a child: since the fork), as a dict."},
	{"take_warnings", log_take_warnings, METH_NOARGS,
	 "take_warnings($self, /)\n--\n\nWhat went wrong that the library went on from: (error, message) since the "
	 "last time."},
	{"close", METHOD(log_close), METH_VARARGS | METH_KEYWORDS,
	 "close($self, /, timeout=5.0)\n--\n\n"
	 "Flush for so many seconds at most, and close; again: nothing. False: closed, but not all is known durable."},
	{"__enter__", log_enter, METH_NOARGS, NULL},
	{"__exit__", log_exit, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
	{"closed", log_closed, NULL, "Was it closed?", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static const char documentation[] =
	"Log(directory=None, *, synchronous=False, helper=True, any_filesystem=False, must_exist=False, uring=True,\n"
	"    flush_interval_ms=0, flush_size_bytes=0, segment_size_bytes=0, retry_count_max=0, retry_delay_ms=0,\n"
	"    held_count_max=0, names_max=0, time_zone=None, fallback_directories=(), summary_path=None, "
	"group_by=())\n--\n\n"
	"A log, open to record calls of LLM APIs to. 0 and None mean the default everywhere.\n\n"
	"Any thread may use it; a child made by fork() writes to a file of its own from its first record() on.";

static PyType_Slot slots[] = {
	{Py_tp_new, log_new},
	{Py_tp_init, log_init},
	{Py_tp_dealloc, log_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_getset, properties},
	{Py_tp_doc, (void *)(uintptr_t)documentation},
	{0, NULL},
};

PyType_Spec log_spec = {
	.name = "usagelog._native.Log",
	.basicsize = sizeof(struct log),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};
