/*
 * The type Tracker: record() of the drop-in UsageTracker, which must make its caller a dict besides. What is not
 * needed at each call is in Python, in the class derived from this (usagelog/tracker.py), and asked for by name:
 *
 *     _provider(model)          the provider's name, once a model
 *     _due()                    the first call since `pending` was 0, and the one that reaches `threshold`
 *     _dropped()                a call was dropped
 *     _record_odd(arguments...) what is not as it should be: the old tracker took anything
 */
#include "native.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MODELS_CACHED = 256, SECOND_BYTES = 19, TIMESTAMP_BYTES = 26 };

struct tracked_model {
	PyObject *model, *provider;
	Py_hash_t hash;
};

struct tracker {
	PyObject ob_base;
	struct native_state *state;
	struct log *log; /* NULL: __init__ was not called */
	unsigned long long pending, threshold;
	struct tracked_model models[MODELS_CACHED];
	struct call_site sites[CALL_SITES];
	time_t second; /* that `timestamp` begins with */
	char timestamp[TIMESTAMP_BYTES + 1];
};

/* ---- parts ------------------------------------------------------------------------------------------------ */

/* Local time as datetime.isoformat() has it, but always with its microseconds: one length, as in the summary. */
static PyObject *print_timestamp(struct tracker *tracker, const struct timespec *now)
{
	if (unlikely(now->tv_sec != tracker->second)) {
		struct tm local;
		char text[64];
		if (!localtime_r(&now->tv_sec, &local) ||
		    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &local) != SECOND_BYTES) {
			PyErr_SetString(PyExc_OverflowError, "the clock is not in the years 1000 to 9999");
			return NULL;
		}
		memcpy(tracker->timestamp, text, SECOND_BYTES);
		tracker->timestamp[SECOND_BYTES] = '.';
		tracker->second = now->tv_sec;
	}
	uint32_t us = (uint32_t)now->tv_nsec / 1000;
	for (int i = TIMESTAMP_BYTES - 1; i > SECOND_BYTES; i--, us /= 10)
		tracker->timestamp[i] = (char)('0' + us % 10);
	return PyUnicode_FromStringAndSize(tracker->timestamp, TIMESTAMP_BYTES);
}

/* The provider of a model, borrowed. */
static PyObject *find_provider(struct tracker *tracker, PyObject *model)
{
	Py_hash_t hash = PyObject_Hash(model);
	struct tracked_model *tracked = &tracker->models[(size_t)hash % MODELS_CACHED];
	if (likely(tracked->model == model ||
		   (tracked->model && tracked->hash == hash && PyUnicode_Compare(tracked->model, model) == 0)))
		return tracked->provider;
	PyObject *provider = PyObject_CallMethod((PyObject *)tracker, "_provider", "O", model);
	if (!provider)
		return NULL;
	if (Py_TYPE(provider) != &PyUnicode_Type) {
		Py_DECREF(provider);
		PyErr_SetString(PyExc_TypeError, "a provider is a str");
		return NULL;
	}
	Py_XDECREF(tracked->provider);
	Py_XDECREF(tracked->model);
	Py_INCREF(model);
	*tracked = (struct tracked_model){.model = model, .provider = provider, .hash = hash};
	return provider;
}

/* One more since somebody looked. What comes of telling is none of the caller's business: the call is recorded. */
static void count_call(struct tracker *tracker)
{
	tracker->pending++;
	if (likely(tracker->pending != 1 && tracker->pending != tracker->threshold))
		return;
	PyObject *done = PyObject_CallMethod((PyObject *)tracker, "_due", NULL);
	if (!done)
		PyErr_WriteUnraisable((PyObject *)tracker);
	Py_XDECREF(done);
}

/* ---- the dict --------------------------------------------------------------------------------------------- */

static bool set(PyObject *dict, struct native_state *state, enum tracker_key key, PyObject *value)
{
	return value && !PyDict_SetItem(dict, state->keys[key], value);
}

static bool set_new(PyObject *dict, struct native_state *state, enum tracker_key key, PyObject *value)
{
	bool done = set(dict, state, key, value);
	Py_XDECREF(value);
	return done;
}

static PyObject *make_record(struct tracker *tracker, PyObject *const arguments[ARGUMENT_COUNT], PyObject *provider,
			     const struct usagelog_call *call, const struct timespec *now)
{
	struct native_state *state = tracker->state;
	PyObject *metadata = arguments[ARGUMENT_METADATA];
	PyObject *dict = PyDict_Copy(state->record);
	bool done = dict && set_new(dict, state, KEY_TIMESTAMP, print_timestamp(tracker, now)) &&
		    set(dict, state, KEY_MODEL, arguments[ARGUMENT_MODEL]) &&
		    set(dict, state, KEY_PROVIDER, provider) &&
		    set(dict, state, KEY_INPUT_TOKENS, arguments[ARGUMENT_INPUT_TOKENS]) &&
		    set(dict, state, KEY_OUTPUT_TOKENS, arguments[ARGUMENT_OUTPUT_TOKENS]) &&
		    set_new(dict, state, KEY_TOTAL_TOKENS,
			    PyLong_FromLongLong((long long)call->input_tokens + call->output_tokens)) &&
		    set(dict, state, KEY_COST_USD, arguments[ARGUMENT_COST_USD]) &&
		    set(dict, state, KEY_LATENCY_MS, arguments[ARGUMENT_LATENCY_MS]) &&
		    set(dict, state, KEY_OPERATION, arguments[ARGUMENT_OPERATION]);
	if (done && metadata)
		done = set(dict, state, KEY_METADATA, metadata);
	else if (done)
		done = set_new(dict, state, KEY_METADATA, PyDict_New());
	if (!done)
		Py_CLEAR(dict);
	return dict;
}

/* ---- record ----------------------------------------------------------------------------------------------- */

static int parse(struct tracker *tracker, PyObject *const *args, Py_ssize_t count, PyObject *keywords,
		 PyObject *arguments[ARGUMENT_COUNT])
{
	struct native_state *state = tracker->state;
	memset(arguments, 0, ARGUMENT_COUNT * sizeof(*arguments));
	if (count > ARGUMENT_COUNT) {
		PyErr_SetString(PyExc_TypeError, "record() takes at most 7 arguments");
		return -1;
	}
	for (Py_ssize_t i = 0; i < count; i++)
		arguments[i] = args[i];
	const uint8_t *places =
		keywords ? call_site_find(tracker->sites, keywords, state->arguments, ARGUMENT_COUNT) : NULL;
	if (keywords && !places)
		return -1;
	Py_ssize_t given = keywords ? PyTuple_Size(keywords) : 0;
	for (Py_ssize_t i = 0; i < given; i++) {
		if (arguments[places[i]]) {
			PyErr_Format(PyExc_TypeError, "record() got %U twice", state->arguments[places[i]]);
			return -1;
		}
		arguments[places[i]] = args[count + i];
	}
	for (int i = 0; i < ARGUMENT_OPERATION; i++)
		if (!arguments[i]) {
			PyErr_Format(PyExc_TypeError, "record() needs %U", state->arguments[i]);
			return -1;
		}
	if (!arguments[ARGUMENT_OPERATION])
		arguments[ARGUMENT_OPERATION] = state->chat;
	if (arguments[ARGUMENT_METADATA] == Py_None)
		arguments[ARGUMENT_METADATA] = NULL;
	return 0;
}

/* The call's numbers. -1 with an exception. */
static int take_values(struct native_state *state, PyObject *const arguments[ARGUMENT_COUNT],
		       struct usagelog_call *call)
{
	PyObject *const *names = state->fields;
	if (value_count(arguments[ARGUMENT_INPUT_TOKENS], names[FIELD_INPUT_TOKENS], &call->input_tokens) ||
	    value_count(arguments[ARGUMENT_OUTPUT_TOKENS], names[FIELD_OUTPUT_TOKENS], &call->output_tokens) ||
	    value_ms(arguments[ARGUMENT_LATENCY_MS], names[FIELD_LATENCY_MS], LATENCY_US_MAX, &call->latency_us))
		return -1;
	if (arguments[ARGUMENT_COST_USD] == Py_None)
		return 0;
	call->flags = USAGELOG_COST;
	return value_money(state, arguments[ARGUMENT_COST_USD], &call->cost_pico_usd);
}

/* 0, an error of the library, or 1 with an exception: then nothing was recorded. */
static int store(struct tracker *tracker, PyObject *const arguments[ARGUMENT_COUNT], PyObject *provider,
		 const struct usagelog_call *call)
{
	PyObject *metadata = arguments[ARGUMENT_METADATA], *text = NULL;
	struct call_names names = {
		.provider = provider, .model = arguments[ARGUMENT_MODEL], .parts = {arguments[ARGUMENT_OPERATION]}};
	if (metadata && PyObject_IsTrue(metadata)) {
		text = value_json(tracker->state, metadata);
		if (!text)
			return 1;
		names.parts[FIELD_METADATA - FIELD_OPERATION] = text;
		names.fresh = true;
	}
	int error = log_record(tracker->log, &names, call);
	Py_XDECREF(text);
	return error;
}

static PyObject *record_strictly(struct tracker *tracker, PyObject *const arguments[ARGUMENT_COUNT])
{
	struct native_state *state = tracker->state;
	struct usagelog_call call = {0};
	struct timespec now;
	if (!tracker->log) {
		PyErr_SetString(PyExc_RuntimeError, "__init__() of this tracker was not called");
		return NULL;
	}
	if (Py_TYPE(arguments[ARGUMENT_MODEL]) != &PyUnicode_Type ||
	    Py_TYPE(arguments[ARGUMENT_OPERATION]) != &PyUnicode_Type) {
		PyErr_SetString(PyExc_TypeError, "model and operation are str");
		return NULL;
	}
	if (take_values(state, arguments, &call) || !log_is_open(tracker->log))
		return NULL;
	PyObject *provider = find_provider(tracker, arguments[ARGUMENT_MODEL]);
	if (!provider)
		return NULL;
	Py_INCREF(provider); /* another thread may use its place for another model meanwhile */
	clock_gettime(CLOCK_REALTIME, &now);
	/* The dict first: where there is no memory for it, nothing is recorded that the caller does not know of. */
	call.time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	PyObject *dict = make_record(tracker, arguments, provider, &call, &now);
	int error = dict ? store(tracker, arguments, provider, &call) : 1;
	Py_DECREF(provider);
	if (error == USAGELOG_ERROR_DROPPED) {
		PyObject *done = PyObject_CallMethod((PyObject *)tracker, "_dropped", NULL);
		Py_XDECREF(done);
		error = done ? 0 : 1;
	} else if (error && error != 1 && error != USAGELOG_ERROR_HELD) {
		raise_error(state, error, NULL);
		error = 1;
	}
	if (error == 1)
		Py_CLEAR(dict);
	else
		count_call(tracker);
	return dict;
}

/* What the strict way refuses, for what was given, is made what it takes by the class in Python. */
static PyObject *record_odd(struct tracker *tracker, PyObject *const arguments[ARGUMENT_COUNT])
{
	if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
	    !PyErr_ExceptionMatches(PyExc_ArithmeticError) && !PyErr_ExceptionMatches(PyExc_RecursionError))
		return NULL;
	PyErr_Clear();
	PyObject *metadata = arguments[ARGUMENT_METADATA];
	return PyObject_CallMethod((PyObject *)tracker, "_record_odd", "OOOOOOO", arguments[0], arguments[1],
				   arguments[2], arguments[3], arguments[4], arguments[5],
				   metadata ? metadata : Py_None);
}

static PyObject *tracker_record(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
	PyObject *arguments[ARGUMENT_COUNT];
	if (parse((struct tracker *)self, args, count, keywords, arguments))
		return NULL;
	PyObject *dict = record_strictly((struct tracker *)self, arguments);
	return likely(dict != NULL) ? dict : record_odd((struct tracker *)self, arguments);
}

static PyObject *tracker_record_strictly(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
	PyObject *arguments[ARGUMENT_COUNT];
	if (parse((struct tracker *)self, args, count, keywords, arguments))
		return NULL;
	return record_strictly((struct tracker *)self, arguments);
}

/* ---- the type --------------------------------------------------------------------------------------------- */

static PyObject *tracker_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
	(void)args;
	(void)keywords;
	struct native_state *state = state_of(type);
	allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	PyObject *self = state ? allocate(type, 0) : NULL;
	if (self) {
		((struct tracker *)self)->state = state;
		((struct tracker *)self)->second = -1;
	}
	return self;
}

static int tracker_init(PyObject *self, PyObject *args, PyObject *keywords)
{
	static const char *const names[] = {"log", "threshold", NULL};
	struct tracker *tracker = (struct tracker *)self;
	PyObject *log;
	if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!K:Tracker", (char **)(uintptr_t)names,
					 tracker->state->log_type, &log, &tracker->threshold))
		return -1;
	Py_INCREF(log);
	Py_XDECREF(tracker->log);
	tracker->log = (struct log *)log;
	return 0;
}

static void tracker_dealloc(PyObject *self)
{
	struct tracker *tracker = (struct tracker *)self;
	PyTypeObject *type = Py_TYPE(self);
	for (int i = 0; i < MODELS_CACHED; i++) {
		Py_XDECREF(tracker->models[i].model);
		Py_XDECREF(tracker->models[i].provider);
	}
	call_sites_clear(tracker->sites);
	Py_XDECREF(tracker->log);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
	release(self);
	Py_DECREF(type);
}

#define METHOD(function) (PyCFunction)(void (*)(void))(function)
static PyMethodDef methods[] = {
	{"record", METHOD(tracker_record), METH_FASTCALL | METH_KEYWORDS,
	 "record($self, model, input_tokens, output_tokens, cost_usd, latency_ms, operation='chat', "
	 "metadata=None)\n--\n\n"
	 "Record one call. Returns what the summary will say of it: timestamp (ISO, local), model, provider, "
	 "input_tokens,\n"
	 "output_tokens, total_tokens, cost_usd, latency_ms, operation, metadata. cost_usd=None: unpriced, which is "
	 "not free."},
	{"_record_strictly", METHOD(tracker_record_strictly), METH_FASTCALL | METH_KEYWORDS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
	{"_pending", T_ULONGLONG, offsetof(struct tracker, pending), 0, "Calls since this was set to 0."},
	{NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_new, tracker_new},
	{Py_tp_init, tracker_init},
	{Py_tp_dealloc, tracker_dealloc},
	{Py_tp_methods, methods},
	{Py_tp_members, members},
	{Py_tp_doc,
	 (void *)(uintptr_t) "Tracker(log, threshold)\n--\n\nrecord() of UsageTracker, which is derived from this."},
	{0, NULL},
};

PyType_Spec tracker_spec = {
	.name = "usagelog._native.Tracker",
	.basicsize = sizeof(struct tracker),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = slots,
};
