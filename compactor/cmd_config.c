/* usagelog config: the log's settings, one table row each: how it is shown, and how it is set. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "decimal.h"
#include "directory.h"
#include "os.h"
#include "slot.h"
#include "store.h"
#include "utf8.h"

/* A value to set: the settings are changed in place, or refused with a message. */
struct setting {
	const char *name;
	void (*show)(const struct ul_conf *conf);
	bool (*set)(struct ul_conf *conf, const char *value);
	bool refolds; /* facts depend on it */
};

/* ---- lists --------------------------------------------------------------------------------------------------- */

static void show_list(char *const *items, size_t count, char separator)
{
	for (size_t i = 0; i < count; i++) {
		if (i)
			putchar(separator);
		print_safely(stdout, items[i], strlen(items[i]));
	}
}

static void clear_list(char **items, size_t *count)
{
	while (*count)
		free(items[--*count]);
}

static char *copy_of(const char *text)
{
	char *copy = os_duplicate(text);
	if (!copy)
		complain("there is no memory; nothing was changed");
	return copy;
}

/* Replace a list by the parts of `value`; an empty value is an empty list. */
static bool set_list(const char *name, char **items, size_t *count, size_t most, const char *value,
		     const char *separator)
{
	char *copy = copy_of(value), *rest = copy;
	bool good = copy;
	clear_list(items, count);
	for (char *item; good && *value && (item = strsep(&rest, separator));) {
		bool valid = ul_conf_value_is_valid(item);
		if (!valid || *count == most) {
			if (valid)
				complain("%s: at most %zu are allowed", name, most);
			else
				complain("%s: a part of the value is empty, has control characters, or is too long "
					 "(4,096 bytes)",
					 name);
			good = false;
			break;
		}
		items[*count] = copy_of(item);
		good = items[*count];
		*count += good;
	}
	free(copy);
	return good;
}

static bool has_twice(const char *name, char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(items[i], items[j]) != 0)
				continue;
			complain("%s: \"%s\" is given twice", name, items[i]);
			return true;
		}
	}
	return false;
}

static bool set_text(const char *name, char **text, const char *value)
{
	if (!ul_conf_value_is_valid(value)) {
		complain("%s: the value is empty, has control characters, is not UTF-8, or is too long (4,096 bytes)",
			 name);
		return false;
	}
	char *copy = copy_of(value);
	if (!copy)
		return false;
	free(*text);
	*text = copy;
	return true;
}

/* ---- the settings -------------------------------------------------------------------------------------------- */

static void show_zone(const struct ul_conf *conf)
{
	print_safely(stdout, conf->time_zone, strlen(conf->time_zone));
}

static bool set_zone(struct ul_conf *conf, const char *value)
{
	if (!ul_time_zone_is_known(value)) {
		complain("time_zone: \"%s\" is not a time zone that this host knows; write an IANA name such as "
			 "Europe/Berlin or UTC",
			 value);
		return false;
	}
	return set_text("time_zone", &conf->time_zone, value);
}

static void show_fallbacks(const struct ul_conf *conf)
{
	show_list(conf->fallbacks, conf->fallback_count, ':');
}

static bool set_fallbacks(struct ul_conf *conf, const char *value)
{
	if (!set_list("fallback_directories", conf->fallbacks, &conf->fallback_count, UL_CONF_FALLBACKS_MAX, value,
		      ":"))
		return false;
	for (size_t i = 0; i < conf->fallback_count; i++) {
		if (conf->fallbacks[i][0] != '/') {
			complain("fallback_directories: \"%s\" is not an absolute path; give the whole path",
				 conf->fallbacks[i]);
			return false;
		}
	}
	return !has_twice("fallback_directories", conf->fallbacks, conf->fallback_count);
}

static void show_summary(const struct ul_conf *conf)
{
	print_safely(stdout, conf->summary, strlen(conf->summary));
}

static bool set_summary(struct ul_conf *conf, const char *value)
{
	const char *slash = strrchr(value, '/');
	if (store_is_reserved_name(slash ? slash + 1 : value)) {
		complain("summary_path: \"%s\" is the name of a file that a log is made of; choose another one", value);
		return false;
	}
	return set_text("summary_path", &conf->summary, value);
}

static void show_retention(const struct ul_conf *conf)
{
	printf("%u", conf->retention_days);
}

static bool set_retention(struct ul_conf *conf, const char *value)
{
	uint64_t days;
	enum decimal_error error = decimal_parse_count(value, strlen(value), UINT32_MAX, &days);
	if (error) {
		complain("retention_days: \"%s\" %s; write a number of days", value, decimal_strerror(error));
		return false;
	}
	conf->retention_days = (uint32_t)days;
	return true;
}

static void show_group_by(const struct ul_conf *conf)
{
	show_list(conf->group_by, conf->group_by_count, ',');
}

static bool set_group_by(struct ul_conf *conf, const char *value)
{
	return set_list("group_by", conf->group_by, &conf->group_by_count, UL_CONF_GROUP_BY_MAX, value, ",") &&
	       !has_twice("group_by", conf->group_by, conf->group_by_count);
}

static void show_id(const struct ul_conf *conf)
{
	char digits[UL_ID_TEXT_BYTES];
	ul_id_format(digits, &conf->log_id);
	fputs(digits, stdout);
}

static const struct setting settings[] = {
	{"time_zone", show_zone, set_zone, true},
	{"fallback_directories", show_fallbacks, set_fallbacks, false},
	{"summary_path", show_summary, set_summary, false},
	{"retention_days", show_retention, set_retention, false},
	{"group_by", show_group_by, set_group_by, true},
	{"log_id", show_id, NULL, false},
};
enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };

static const char *setting_name(const void *arg, size_t index)
{
	(void)arg;
	return index < SETTING_COUNT ? settings[index].name : NULL;
}

static const struct setting *find_setting(const char *name)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (!strcmp(settings[i].name, name))
			return &settings[i];
	char suggestion[SUGGESTION_BYTES];
	suggest(name, setting_name, NULL, suggestion);
	complain("there is no setting \"%s\"%s; usagelog config shows them all", name, suggestion);
	return NULL;
}

static void show_all(const struct ul_conf *conf)
{
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		printf("%-21s", settings[i].name);
		settings[i].show(conf);
		putchar('\n');
	}
}

/* What cannot be written to is no way out of itself. Each directory counts once, whatever it is called. */
static bool check_fallbacks(const struct ul_directory *directory)
{
	const struct ul_conf *conf = &directory->conf;
	struct stat own, found[UL_CONF_FALLBACKS_MAX];
	bool known[UL_CONF_FALLBACKS_MAX] = {false};
	bool own_known = !os_stat(directory->fd, &own);
	for (size_t i = 0; i < conf->fallback_count; i++) {
		/* One that is not there yet is made when it is needed. */
		known[i] = !os_stat_path(conf->fallbacks[i], &found[i]);
		if (!known[i])
			continue;
		if (own_known && found[i].st_dev == own.st_dev && found[i].st_ino == own.st_ino) {
			complain("fallback_directories: \"%s\" is the log's own directory; name another one",
				 conf->fallbacks[i]);
			return false;
		}
		for (size_t j = 0; j < i; j++) {
			if (!known[j] || found[i].st_dev != found[j].st_dev || found[i].st_ino != found[j].st_ino)
				continue;
			complain("fallback_directories: \"%s\" and \"%s\" are one directory", conf->fallbacks[j],
				 conf->fallbacks[i]);
			return false;
		}
	}
	return true;
}

static int change(struct ul_directory *directory, const struct setting *setting, const char *value)
{
	uint64_t before = ul_conf_settings(&directory->conf);
	if (!setting->set) {
		complain("%s cannot be changed: it is what tells this log's files from another's", setting->name);
		return STATUS_USAGE;
	}
	if (!setting->set(&directory->conf, value) || (setting->set == set_fallbacks && !check_fallbacks(directory)))
		return STATUS_USAGE;
	int error = ul_directory_write_conf(directory, &directory->conf);
	if (error == -EINVAL) {
		complain(
			"%s: the value is not allowed, or the settings would be too long together; nothing was changed",
			setting->name);
		return STATUS_USAGE;
	}
	if (error) {
		complain("%s/log.conf: cannot be written: %s; see which of both settings holds: usagelog config %s",
			 directory->path, strerror(-error), setting->name);
		return STATUS_FILES;
	}
	if (setting->refolds && ul_conf_settings(&directory->conf) != before)
		complain("%s is set; the next usagelog compact folds all calls anew", setting->name);
	return STATUS_DONE;
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	struct command_line line;
	int status = command_parse(command, NULL, 0, log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (line.operand_count > 2) {
		complain("config takes a setting and a value, not more: quote a value that has blanks");
		return STATUS_USAGE;
	}
	const struct setting *setting = NULL;
	if (line.operand_count && !(setting = find_setting(line.operands[0])))
		return STATUS_USAGE;
	struct ul_directory directory;
	struct ul_message why;
	if (ul_directory_open(&directory, line.log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	status = STATUS_DONE;
	if (!setting) {
		show_all(&directory.conf);
	} else if (line.operand_count == 1) {
		setting->show(&directory.conf);
		putchar('\n');
	} else {
		status = change(&directory, setting, line.operands[1]);
	}
	ul_directory_close(&directory);
	return status;
}

const struct command command_config = {
	.name = "config",
	.operands = "[KEY [VALUE]]",
	.summary = "show or change the log's settings",
	.details = "  time_zone             an IANA name; days are cut in it\n"
		   "  fallback_directories  absolute paths, colons between, tried in turn when the\n"
		   "                        log's own directory cannot be written to; \"\": none\n"
		   "  summary_path          where compact writes it, from the log's directory\n"
		   "  retention_days        after how many days compact deletes calls that are in\n"
		   "                        the totals; 0: never\n"
		   "  group_by              keys of metadata that totals are kept by, commas\n"
		   "                        between; \"\": none\n"
		   "  log_id                what tells this log from others; cannot be changed\n"
		   "\n"
		   "Exit status: 0 done; 8 could not read or write; 16 usage, nothing was changed.",
	.run = run,
	.operand_word = setting_name,
};
