/*
 * The one seam to the operating system: every system call and allocation that can fail goes through here, so that a test
 * can make the n-th one fail. Each function does what its namesake does, retries EINTR where that is right, and
 * returns a result or -errno; errno itself is never looked at elsewhere. No policy here.
 */
#ifndef USAGELOG_OS_H
#define USAGELOG_OS_H

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

enum os_call {
	OS_ALLOCATE,
	OS_OPEN,
	OS_STAT,
	OS_READ,
	OS_WRITE,
	OS_SYNC,
	OS_SYNC_RANGE,
	OS_EXTEND,
	OS_MAP,
	OS_POPULATE,
	OS_LOCK,
	OS_LINK,
	OS_RENAME,
	OS_UNLINK,
	OS_MKDIR,
	OS_STATFS,
	OS_RANDOM,
	OS_EVENT,
	OS_THREAD,
	OS_URING,
	OS_CALLS,
};

#ifdef USAGELOG_OS_FAULTS
/* Tests: asked before each call; a non-zero answer is the errno that it fails with. */
extern int (*os_fault)(enum os_call call);
/* Of the call that this thread asks about: the address that it returns to. */
extern _Thread_local const void *os_fault_site;
#endif

/* Zeroed memory; NULL if there is none. Freed with free(). */
void *os_allocate(size_t count, size_t bytes);
/* Zeroed, aligned; freed with free(). */
void *os_allocate_aligned(size_t alignment, size_t bytes);
void *os_reallocate(void *memory, size_t count, size_t bytes);
char *os_duplicate(const char *text);
char *os_duplicate_part(const char *text, size_t bytes);
/* As asprintf(): NULL if there is no memory. */
char *os_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *os_format_args(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
/* As open_memstream(). */
FILE *os_memory_stream(char **text, size_t *bytes);
/* As fdopen(); NULL and the descriptor is still the caller's. */
FILE *os_stream(int fd, const char *mode);
/* The path without links that another one leads to, freed with free(); NULL if it leads to nothing, or there is no memory. */
char *os_resolve(const char *path);

/* Files are always opened with these flags too; with O_CREAT the mode is 0600, and a file that root makes in a user's directory is the user's. */
#define OS_OPEN_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
int os_open(int directory, const char *name, int flags);
/* A file that was just made in a directory becomes its owner's, if root made it: else the log's user could not read it. */
void os_give_to_owner(int directory, int fd);
/* A directory, where a link may lead to it. */
int os_open_directory(const char *path);
/* A file to be read that is not the log's: links are followed, and it may be a pipe or a device, unless further flags for open() say otherwise. */
int os_open_any(const char *path, int flags);
/* A file without a name, in a directory. */
int os_open_temporary(const char *directory);
/* A file in memory. */
int os_open_memory(void);
int os_duplicate_fd(int fd);
/* Have the number `fd` mean what `by` does, at once for all who use it. */
int os_replace_fd(int fd, int by);
void os_close(int fd);
/* Begin to list a directory, on a descriptor of its own: readdir() moves the offset that duplicates share. */
int os_list(int directory, DIR **stream);
/* The next name: 1; 0 at the end, or -errno. */
int os_list_next(DIR *stream, const char **name);
int os_stat(int fd, struct stat *found);
/* The text of a link, without a zero at its end. */
ssize_t os_read_link(const char *path, char *out, size_t bytes);
/* What a path leads to, through links. */
int os_stat_path(const char *path, struct stat *found);
int os_stat_at(int directory, const char *name, struct stat *found);
/* Read up to `bytes` at `offset`; short only at the end of the file. */
ssize_t os_read(int fd, void *out, size_t bytes, uint64_t offset);
/* Read what comes next in a file or pipe. */
ssize_t os_read_next(int fd, void *out, size_t bytes);
/* As lseek(). */
int64_t os_seek(int fd, int64_t offset, int whence);
/* Write all of it, or fail; never raises SIGXFSZ but says -EFBIG. */
int os_write(int fd, const void *from, size_t bytes, uint64_t offset);
int os_sync(int fd);
/* Sync the mapped range at `address`, and no more of the file than that. */
int os_sync_range(void *address, size_t bytes);
/* Allocate the file's range, extending it; never raises SIGXFSZ but says -EFBIG. Where the filesystem cannot allocate, zeros are written if
 * `may_write`, which only the one may allow who knows that nobody writes there meanwhile; else -EOPNOTSUPP. */
int os_extend(int fd, uint64_t offset, uint64_t bytes, bool may_write);
int os_truncate(int fd, uint64_t bytes);
/* Ask that blocks of this new file be written where they lie: a filesystem that writes each to another place needs space for that even where all is
 * allocated. */
void os_write_in_place(int fd);
/* A part of a file. `offset` is a multiple of the host's pages. */
int os_map(void **address, size_t bytes, int fd, uint64_t offset, bool writable);
/* A forked child does not have the mapping. */
int os_map_for_parent_only(void *address, size_t bytes);
/* Zeros of this process's own, in place of what is mapped at `*address`; anywhere, if that is NULL. May be called in a signal handler; no test makes it
 * fail. */
int os_map_zeros(void **address, size_t bytes);
/* Copy memory, of which it may turn out that it cannot be read: -EFAULT, or why the system does not do that here. In a signal handler, too. */
int os_read_memory(void *to, const void *from, size_t bytes);
/* Zeroed memory that is zeroed again in a forked child. */
int os_map_wiped(void **address, size_t bytes);
void os_unmap(void *address, size_t bytes);
/* Make the pages present, and writable or not, without a fault later. */
int os_populate(void *address, size_t bytes, bool writable);
/* The opposite, for a shared mapping: the next access to one of these pages finds it in the file again. As far as that can be had. */
void os_unpopulate(void *address, size_t bytes);
/* Take the write lock of FORMAT.md 3.6: 0, or -EAGAIN if somebody has it. */
int os_lock(int fd);
/* Does somebody else hold it? 1, 0 or -errno. */
int os_is_locked(int fd);
int os_link(int directory, const char *from, const char *to);
int os_rename(int directory, const char *from, const char *to);
int os_unlink(int directory, const char *name);
/* Mode 0700; and all that lead to it. */
int os_make_directories(const char *path);
/* 1 if the filesystem is of a kind that keeps no promises on one host (network, FUSE); `*name` says which. */
int os_is_remote(int fd, const char **name);
int os_random(void *out, size_t bytes);
int os_event(void);
/* Wake whoever waits for the event. May be called in a signal handler. */
void os_tell(int event);
/* inotify: a descriptor; what to watch, by path; and what was seen, 0 if nothing. */
int os_notify(void);
int os_notify_add(int notify, const char *path, uint32_t events);
ssize_t os_notify_read(int notify, void *out, size_t bytes);
/* Sleep until one of two descriptors can be read (a negative one never can) or so many ns are over. 1, 2, 3: the first, the second, both;
 * 0: neither, and maybe before its time. */
int os_wait_two(int first, int second, uint64_t timeout_ns);
/* Sleep for a moment: 50 us. */
void os_pause(void);
/* Sleep while `*word` is `value`, for so many ns at most (UINT64_MAX: for ever). May return early: look again. */
void os_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns);
void os_wake_all(_Atomic uint32_t *word);
/* io_uring is not called through here, but asks before: 0, or the -errno that a test wants. */
int os_uring(void);
/* Start a thread with all signals blocked but that of its own accesses, SIGBUS. */
int os_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* How wide and high a terminal is, in characters; 0 if the descriptor is none, or that is not known. */
void os_terminal_size(int fd, uint32_t *columns, uint32_t *lines);

/* How many processors this process may use; 1 if that cannot be told. */
uint32_t os_processors(void);

uint32_t os_thread_id(void);

int64_t os_time_ns(void);       /* wall clock, coarse (some ms) */
uint64_t os_monotonic_ns(void); /* monotonic, coarse */
uint64_t os_precise_ns(void);   /* monotonic, to the ns */
int os_boot_id(uint8_t id[16]);

#endif
