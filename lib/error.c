/* Texts of errors, and the version. */
#include "usagelog.h"

#include <string.h>

static const char *const own_errors[] = {
	"held in memory: no file can be had right now",
	"dropped: no file can be had, and the memory for held calls is full",
	"the deadline passed before all was durable",
	"log.conf is damaged or missing",
	"made by a newer usagelog",
	"an option contradicts log.conf",
	"on a filesystem whose locks and syncs cannot be relied on",
	"a name is empty, too long (1,024 bytes), not UTF-8, or has control characters",
	"the metadata is not a JSON object, is nested too deep, or has a key twice",
	"the attributes are too long (16,384 bytes together)",
	"the handle's table of names is full",
	"a field of the call is out of range",
	"there is no log in this directory",
	"not a segment, or its headers are damaged",
	"the handle is closed",
};

const char *usagelog_strerror(int error)
{
	int own = USAGELOG_ERROR_HELD - error;
	if (error < 0 && own >= 0 && own < (int)(sizeof(own_errors) / sizeof(own_errors[0])))
		return own_errors[own];
	if (error == 0)
		return "no error";
	const char *text = error < 0 ? strerrordesc_np(-error) : NULL;
	return text ? text : "unknown error";
}

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *usagelog_version(void)
{
	return VERSION(USAGELOG_VERSION_MAJOR, USAGELOG_VERSION_MINOR, USAGELOG_VERSION_PATCH);
}
