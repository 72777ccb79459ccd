/* The module usagelog._native: its types and exceptions, and what is not a method of one. */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const field_names[FIELD_COUNT] = {
	[FIELD_PROVIDER] = "provider",
	[FIELD_MODEL] = "model",
	[FIELD_INPUT_TOKENS] = "input_tokens",
	[FIELD_CACHE_READ_TOKENS] = "cache_read_tokens",
	[FIELD_CACHE_WRITE_5M_TOKENS] = "cache_write_5m_tokens",
	[FIELD_CACHE_WRITE_1H_TOKENS] = "cache_write_1h_tokens",
	[FIELD_OUTPUT_TOKENS] = "output_tokens",
	[FIELD_REASONING_TOKENS] = "reasoning_tokens",
	[FIELD_COST_USD] = "cost_usd",
	[FIELD_LATENCY_MS] = "latency_ms",
	[FIELD_TTFT_MS] = "ttft_ms",
	[FIELD_OPERATION] = "operation",
	[FIELD_ERROR_TYPE] = "error_type",
	[FIELD_SERVICE_TIER] = "service_tier",
	[FIELD_SESSION_ID] = "session_id",
	[FIELD_METADATA] = "metadata",
	[FIELD_CALL_ID] = "call_id",
	[FIELD_TIME] = "time",
};

static const char *const argument_names[ARGUMENT_COUNT] = {
	[ARGUMENT_MODEL] = "model",
	[ARGUMENT_INPUT_TOKENS] = "input_tokens",
	[ARGUMENT_OUTPUT_TOKENS] = "output_tokens",
	[ARGUMENT_COST_USD] = "cost_usd",
	[ARGUMENT_LATENCY_MS] = "latency_ms",
	[ARGUMENT_OPERATION] = "operation",
	[ARGUMENT_METADATA] = "metadata",
};

static const char *const key_names[KEY_COUNT] = {
	[KEY_TIMESTAMP] = "timestamp",         [KEY_MODEL] = "model",
	[KEY_PROVIDER] = "provider",           [KEY_INPUT_TOKENS] = "input_tokens",
	[KEY_OUTPUT_TOKENS] = "output_tokens", [KEY_TOTAL_TOKENS] = "total_tokens",
	[KEY_COST_USD] = "cost_usd",           [KEY_LATENCY_MS] = "latency_ms",
	[KEY_OPERATION] = "operation",         [KEY_METADATA] = "metadata",
};

/* ---- exceptions ------------------------------------------------------------------------------------------- */

PyObject *raise_error(struct native_state *state, int error, const char *text)
{
	if (!text)
		text = usagelog_strerror(error);
	if (error > USAGELOG_ERROR_HELD) {
		PyObject *args = Py_BuildValue("(is)", -error, text);
		if (args)
			PyErr_SetObject(PyExc_OSError, args);
		Py_XDECREF(args);
		return NULL;
	}
	switch (error) {
	case USAGELOG_ERROR_NAME:
	case USAGELOG_ERROR_METADATA:
	case USAGELOG_ERROR_CONTEXT_TOO_LONG:
	case USAGELOG_ERROR_CALL:
		PyErr_SetString(PyExc_ValueError, text);
		return NULL;
	default:
		break;
	}
	PyObject *type = error == USAGELOG_ERROR_DROPPED ? state->dropped : state->error;
	PyObject *exception = PyObject_CallFunction(type, "s", text), *code = PyLong_FromLong(error);
	if (exception && code && !PyObject_SetAttrString(exception, "code", code))
		PyErr_SetObject(type, exception);
	Py_XDECREF(exception);
	Py_XDECREF(code);
	return NULL;
}

/* ---- functions -------------------------------------------------------------------------------------------- */

static PyObject *native_version(PyObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	return PyUnicode_FromString(usagelog_version());
}

static PyObject *native_default_directory(PyObject *self, PyObject *unused)
{
	char path[4096];
	(void)unused;
	int bytes = usagelog_default_directory(path, sizeof(path));
	return bytes < 0 ? raise_error(PyModule_GetState(self), bytes, NULL) : PyUnicode_DecodeFSDefault(path);
}

/* What the money of a call is taken for, in pico-USD: for tests, and for whoever adds up costs. */
static PyObject *native_pico_usd(PyObject *self, PyObject *value)
{
	int64_t pico_usd;
	return value_money(PyModule_GetState(self), value, &pico_usd) ? NULL : PyLong_FromLongLong(pico_usd);
}

/* Two files change names, at once: whoever replaces a file so has the one that was there in hand. */
static PyObject *native_exchange(PyObject *self, PyObject *args)
{
	PyObject *left = NULL, *right = NULL, *result = NULL;
	(void)self;
	if (PyArg_ParseTuple(args, "O&O&:exchange", PyUnicode_FSConverter, &left, PyUnicode_FSConverter, &right)) {
		if (syscall(SYS_renameat2, AT_FDCWD, PyBytes_AsString(left), AT_FDCWD, PyBytes_AsString(right),
			    RENAME_EXCHANGE)) {
			PyErr_SetFromErrno(PyExc_OSError);
		} else {
			Py_INCREF(Py_None);
			result = Py_None;
		}
	}
	Py_XDECREF(left);
	Py_XDECREF(right);
	return result;
}

/* The floor of the benchmarks: what a call into an extension costs. */
static PyObject *native_nothing(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
	(void)self;
	(void)args;
	(void)count;
	(void)keywords;
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{"version", native_version, METH_NOARGS, "version()\n--\n\nThe version of the library, such as '0.1.0'."},
	{"default_directory", native_default_directory, METH_NOARGS,
	 "default_directory()\n--\n\nThe log's directory where none is named."},
	{"pico_usd", native_pico_usd, METH_O,
	 "pico_usd(amount, /)\n--\n\nUS dollars (float, int, str or Decimal) in whole 1e-12 dollars, as record() takes "
	 "them."},
	{"exchange", native_exchange, METH_VARARGS,
	 "exchange(left, right, /)\n--\n\nHave two files change names, at once."},
	{"nothing", (PyCFunction)(void (*)(void))native_nothing, METH_FASTCALL | METH_KEYWORDS,
	 "nothing(*args, **keywords)\n--\n\nDo nothing: what a call costs, for benchmarks."},
	{NULL, NULL, 0, NULL},
};

/* ---- the module ------------------------------------------------------------------------------------------- */

static int intern(PyObject **out, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (!(out[i] = PyUnicode_InternFromString(names[i])))
			return -1;
	return 0;
}

static int make_json(struct native_state *state)
{
	PyObject *module = PyImport_ImportModule("json");
	state->dumps = module ? PyObject_GetAttrString(module, "dumps") : NULL;
	Py_XDECREF(module);
	/* NaN is no JSON, and would be refused later with less of a reason. */
	state->dumps_args = Py_BuildValue("{s:O,s:O}", "ensure_ascii", Py_False, "allow_nan", Py_False);
	return state->dumps && state->dumps_args ? 0 : -1;
}

static int make_record(struct native_state *state)
{
	state->record = PyDict_New();
	state->chat = PyUnicode_InternFromString("chat");
	for (int i = 0; state->record && i < KEY_COUNT; i++)
		if (PyDict_SetItem(state->record, state->keys[i], Py_None))
			return -1;
	return state->record && state->chat ? 0 : -1;
}

static int add_type(PyObject *module, PyType_Spec *spec, const char *name, PyTypeObject **out)
{
	PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
	if (!type || PyModule_AddObjectRef(module, name, type)) {
		Py_XDECREF(type);
		return -1;
	}
	if (out)
		*out = (PyTypeObject *)type;
	else
		Py_DECREF(type);
	return 0;
}

static int add_exceptions(PyObject *module, struct native_state *state)
{
	state->error = PyErr_NewExceptionWithDoc(
		"usagelog.Error", "Something is wrong with a log; `code` is the library's number of it.", NULL, NULL);
	if (!state->error || PyModule_AddObjectRef(module, "Error", state->error))
		return -1;
	state->dropped = PyErr_NewExceptionWithDoc(
		"usagelog.Dropped",
		"The call was dropped and counted: no file can be had, and the memory for held calls is full.",
		state->error, NULL);
	return state->dropped ? PyModule_AddObjectRef(module, "Dropped", state->dropped) : -1;
}

static int execute(PyObject *module)
{
	struct native_state *state = PyModule_GetState(module);
	if (intern(state->fields, field_names, FIELD_COUNT) ||
	    intern(state->arguments, argument_names, ARGUMENT_COUNT) || intern(state->keys, key_names, KEY_COUNT) ||
	    make_json(state) || make_record(state) || add_exceptions(module, state) ||
	    add_type(module, &log_spec, "Log", &state->log_type) || add_type(module, &tracker_spec, "Tracker", NULL))
		return -1;
	return 0;
}

/* All that the state holds, in the order of the struct: objects and nothing else. */
static PyObject **state_object(struct native_state *state, size_t i)
{
	static_assert(sizeof(struct native_state) % sizeof(PyObject *) == 0, "objects only");
	return i < sizeof(*state) / sizeof(PyObject *) ? (PyObject **)(void *)state + i : NULL;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
	struct native_state *state = PyModule_GetState(module);
	PyObject **object;
	for (size_t i = 0; state && (object = state_object(state, i)); i++)
		Py_VISIT(*object);
	return 0;
}

/* Not before: while an object of these types lives, it uses the state. */
static void release(void *module)
{
	struct native_state *state = PyModule_GetState(module);
	PyObject **object;
	for (size_t i = 0; state && (object = state_object(state, i)); i++)
		Py_CLEAR(*object);
}

static PyModuleDef_Slot slots[] = {
	{Py_mod_exec, (void *)(uintptr_t)execute},
	{0, NULL},
};

static struct PyModuleDef definition = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "usagelog._native",
	.m_doc = "What of usagelog must be fast, in C. Use the package usagelog.",
	.m_size = sizeof(struct native_state),
	.m_methods = functions,
	.m_slots = slots,
	.m_traverse = traverse,
	.m_free = release,
};

struct native_state *state_of(PyTypeObject *type)
{
	for (; type; type = PyType_GetSlot(type, Py_tp_base)) {
		PyObject *module = PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE ? PyType_GetModule(type) : NULL;
		if (module && PyModule_GetDef(module) == &definition)
			return PyModule_GetState(module);
		PyErr_Clear();
	}
	PyErr_SetString(PyExc_TypeError, "this type is not of usagelog");
	return NULL;
}

PyMODINIT_FUNC PyInit__native(void);
PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&definition);
}
