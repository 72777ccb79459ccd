/* Files for code under test that takes descriptors, and a place for its messages. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

unsigned long fuzz_sound;

int fuzz_file(const uint8_t *data, size_t bytes)
{
	/* The same one each time: its pages are there already. */
	static int file = -1;
	if (file < 0)
		file = memfd_create("fuzz", MFD_CLOEXEC);
	FUZZ_CHECK(file >= 0 && pwrite(file, data, bytes, 0) == (ssize_t)bytes);
	FUZZ_CHECK(ftruncate(file, (off_t)bytes) == 0 && lseek(file, 0, SEEK_SET) == 0);
	int fd = dup(file);
	FUZZ_CHECK(fd >= 0);
	return fd;
}

void fuzz_write(int directory, const char *name, const void *data, size_t bytes)
{
	int fd = openat(directory, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
}

static char *own_directory;

static void remove_directory(void)
{
	DIR *directory = opendir(own_directory);
	FUZZ_CHECK(directory);
	for (struct dirent *one = readdir(directory); one; one = readdir(directory))
		if (one->d_name[0] != '.')
			unlinkat(dirfd(directory), one->d_name, 0);
	closedir(directory);
	rmdir(own_directory);
}

char *fuzz_directory(void)
{
	static char in_memory[] = "/dev/shm/usagelog_fuzz.XXXXXX", on_disk[] = "/tmp/usagelog_fuzz.XXXXXX";
	own_directory = mkdtemp(in_memory);
	if (!own_directory)
		own_directory = mkdtemp(on_disk);
	FUZZ_CHECK(own_directory && atexit(remove_directory) == 0);
	return own_directory;
}

void fuzz_silence(void)
{
	static FILE *nowhere;
	if (nowhere)
		return;
	nowhere = fopen("/dev/null", "w");
	FUZZ_CHECK(nowhere);
	stderr = nowhere;
}
