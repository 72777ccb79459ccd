/* Opening the log for a subcommand. */
#include "log_open.h"

#include "calendar.h"
#include "command.h"

static int set_zone(const struct ul_directory *directory)
{
	const char *zone = directory->conf.time_zone;
	if (!ul_time_zone_is_known(zone)) {
		complain("%s: the log's time zone, %s, is not known on this host; install its data (package tzdata), "
			 "or change it: usagelog "
			 "config time_zone ZONE",
			 directory->path, zone);
		return STATUS_FILES;
	}
	if (calendar_set_zone(zone)) {
		complain("no memory for the time zone");
		return STATUS_FILES;
	}
	return 0;
}

int log_open_to_read(struct ul_directory *directory, const char *path)
{
	struct ul_message why;
	if (ul_directory_open(directory, path, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = set_zone(directory);
	if (status)
		ul_directory_close(directory);
	return status;
}

static void warn(void *arg, int error, const char *message)
{
	(void)arg;
	(void)error;
	complain("warning: %s", message);
}

int log_open_to_record(struct ul_directory *directory, usagelog **log, const char *path, uint32_t flags)
{
	struct usagelog_options options = {.size = sizeof(options), .flags = flags, .warning = warn};
	struct ul_message why;
	/* The directory first: the zone is set while there is one thread, and errors are whole sentences. */
	if (ul_directory_open_or_make(directory, path, &options, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = set_zone(directory);
	if (!status) {
		int error = usagelog_open(log, directory->path, &options);
		if (error) {
			complain("%s: cannot be recorded to: %s", directory->path, usagelog_strerror(error));
			status = STATUS_FILES;
		}
	}
	if (status)
		ul_directory_close(directory);
	return status;
}
