/* Python's numbers, times and keywords to a call's fields. Money never goes through a float's arithmetic where that could show. */
#include "native.h"

#include <math.h>
#include <string.h>

#include "decimal.h"

int value_count(PyObject *value, PyObject *name, uint32_t *out)
{
	long long count = PyLong_AsLongLong(value);
	if (likely((unsigned long long)count <= UINT32_MAX)) {
		*out = (uint32_t)count;
		return 0;
	}
	if (count == -1 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
		return -1;
	PyErr_Format(PyExc_ValueError, "%U: %S is not a count from 0 to 4294967295", name, value);
	return -1;
}

static int refuse(PyObject *exception, const char *what, PyObject *value, enum decimal_error error)
{
	PyErr_Format(exception, "%s: %R %s", what, value, decimal_strerror(error));
	return -1;
}

/* By text, exactly. */
static int text_decimal(PyObject *text, const char *what, int scale, int64_t *out)
{
	Py_ssize_t bytes;
	const char *digits = PyUnicode_AsUTF8AndSize(text, &bytes);
	if (!digits)
		return -1;
	enum decimal_error error = decimal_parse(digits, (size_t)bytes, scale, out);
	return error ? refuse(PyExc_ValueError, what, text, error) : 0;
}

static int float_decimal(PyObject *value, const char *what, int scale, int64_t *out)
{
	char *text = PyOS_double_to_string(PyFloat_AsDouble(value), 'r', 0, 0, NULL);
	if (!text)
		return -1;
	enum decimal_error error = decimal_parse(text, strlen(text), scale, out);
	PyMem_Free(text);
	return error ? refuse(PyExc_ValueError, what, value, error) : 0;
}

static bool is_decimal(struct native_state *state, PyObject *value)
{
	if (!state->decimal) {
		PyObject *module = PyImport_ImportModule("decimal");
		state->decimal = module ? PyObject_GetAttrString(module, "Decimal") : NULL;
		Py_XDECREF(module);
	}
	return state->decimal && PyObject_IsInstance(value, state->decimal) == 1;
}

/* A number of whatever type that is exact, times 10^scale. */
static int exact_decimal(struct native_state *state, PyObject *value, const char *what, int scale, int64_t *out)
{
	if (PyFloat_Check(value))
		return float_decimal(value, what, scale, out);
	if (PyUnicode_Check(value))
		return text_decimal(value, what, scale, out);
	PyObject *index = NULL;
	if (!is_decimal(state, value)) {
		index = PyNumber_Index(value);
		if (!index) {
			PyErr_Format(PyExc_TypeError, "%s: %R is not an int, float, Decimal or str", what, value);
			return -1;
		}
	}
	PyObject *text = PyObject_Str(index ? index : value);
	Py_XDECREF(index);
	int result = text ? text_decimal(text, what, scale, out) : -1;
	Py_XDECREF(text);
	return result;
}

int value_money(struct native_state *state, PyObject *value, int64_t *pico_usd)
{
	if (likely(Py_TYPE(value) == &PyFloat_Type)) {
		/*
		 * The shortest decimal text of a float is within half a unit of its last place (ulp) of it, and the product is
		 * rounded by half an ulp: so the text's value in pico-USD is within 1.5 ulp of the product; below 2^44 (17.59
		 * USD) that is less than 2^-8. Where the product is farther than that from a half, both round to the same integer.
		 */
		double product = PyFloat_AsDouble(value) * 1e12, whole = nearbyint(product);
		if (fabs(product) < 0x1p44 && fabs(product - whole) < 0.5 - 0x1p-8) {
			*pico_usd = (int64_t)whole;
			return 0;
		}
	}
	return exact_decimal(state, value, "cost_usd", 12, pico_usd);
}

int value_ms(PyObject *value, PyObject *name, uint64_t most_us, uint64_t *us)
{
	double ms = PyFloat_AsDouble(value);
	if (ms == -1 && PyErr_Occurred())
		return -1;
	double rounded = nearbyint(ms * 1000);
	if (likely(rounded >= 0 && rounded <= (double)most_us)) {
		*us = (uint64_t)rounded;
		return 0;
	}
	PyErr_Format(PyExc_ValueError, "%U: %S ms is below 0 or more than can be stored", name, value);
	return -1;
}

/* A datetime says its timestamp(), in which its microseconds are exact when rounded to such. */
static int datetime_ns(PyObject *value, int64_t *ns)
{
	PyObject *timestamp = PyObject_CallMethod(value, "timestamp", NULL);
	double seconds = timestamp ? PyFloat_AsDouble(timestamp) : -1;
	Py_XDECREF(timestamp);
	if (PyErr_Occurred())
		return -1;
	double whole = floor(seconds);
	if (!(fabs(whole) < 9.2e9)) {
		PyErr_Format(PyExc_ValueError, "time: %S is not in the years 1678 to 2261", value);
		return -1;
	}
	*ns = (int64_t)whole * 1000000000 + (int64_t)nearbyint((seconds - whole) * 1e6) * 1000;
	return 0;
}

int value_time(struct native_state *state, PyObject *value, int64_t *ns)
{
	if (PyObject_HasAttrString(value, "timestamp"))
		return datetime_ns(value, ns);
	return exact_decimal(state, value, "time", 9, ns);
}

const char *value_text(PyObject *value, PyObject *name)
{
	Py_ssize_t bytes;
	if (!PyUnicode_Check(value)) {
		PyErr_Format(PyExc_TypeError, "%U: %R is not a str", name, value);
		return NULL;
	}
	const char *text = PyUnicode_AsUTF8AndSize(value, &bytes);
	if (text && strlen(text) != (size_t)bytes) {
		PyErr_Format(PyExc_ValueError, "%U: %R has a null character", name, value);
		return NULL;
	}
	return text;
}

PyObject *value_json(struct native_state *state, PyObject *value)
{
	if (PyUnicode_Check(value))
		return PyUnicode_FromObject(value);
	PyObject *args = PyTuple_Pack(1, value);
	PyObject *text = args ? PyObject_Call(state->dumps, args, state->dumps_args) : NULL;
	Py_XDECREF(args);
	return text;
}

/* ---- keywords --------------------------------------------------------------------------------------------- */

static int find_name(PyObject *keyword, PyObject *const *names, int count)
{
	/* Both are interned, as a rule. */
	for (int i = 0; i < count; i++)
		if (keyword == names[i])
			return i;
	for (int i = 0; i < count; i++)
		if (PyUnicode_Compare(keyword, names[i]) == 0)
			return i;
	return -1;
}

const uint8_t *call_site_find(struct call_site sites[CALL_SITES], PyObject *keywords, PyObject *const *names, int count)
{
	struct call_site *site = &sites[((uintptr_t)keywords >> 4) % CALL_SITES];
	if (likely(site->names == keywords))
		return site->fields;
	Py_ssize_t given = PyTuple_Size(keywords);
	if (given > CALL_SITE_NAMES_MAX) {
		PyErr_SetString(PyExc_TypeError, "record() got more arguments than it has");
		return NULL;
	}
	Py_CLEAR(site->names);
	for (Py_ssize_t i = 0; i < given; i++) {
		PyObject *keyword = PyTuple_GetItem(keywords, i);
		int found = find_name(keyword, names, count);
		if (found < 0) {
			PyErr_Format(PyExc_TypeError, "record() got an unexpected keyword argument '%U'", keyword);
			return NULL;
		}
		site->fields[i] = (uint8_t)found;
	}
	Py_INCREF(keywords);
	site->names = keywords;
	return site->fields;
}

void call_sites_clear(struct call_site sites[CALL_SITES])
{
	for (int i = 0; i < CALL_SITES; i++)
		Py_CLEAR(sites[i].names);
}
