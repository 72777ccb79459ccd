/* The seam of os.h. */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifdef USAGELOG_OS_FAULTS
int (*os_fault)(enum os_call call);
_Thread_local const void *os_fault_site;

static int fault_at(enum os_call call, const void *site)
{
	os_fault_site = site;
	return os_fault ? os_fault(call) : 0;
}
#define fault(call) fault_at(call, __builtin_return_address(0))
#else
static inline int fault(enum os_call call)
{
	(void)call;
	return 0;
}
#endif

void *os_allocate(size_t count, size_t bytes)
{
	return fault(OS_ALLOCATE) ? NULL : calloc(count, bytes);
}

void *os_allocate_aligned(size_t alignment, size_t bytes)
{
	size_t rounded = (bytes + alignment - 1) / alignment * alignment;
	void *memory = fault(OS_ALLOCATE) ? NULL : aligned_alloc(alignment, rounded);
	return memory ? memset(memory, 0, rounded) : NULL;
}

void *os_reallocate(void *memory, size_t count, size_t bytes)
{
	return fault(OS_ALLOCATE) ? NULL : reallocarray(memory, count, bytes);
}

char *os_duplicate(const char *text)
{
	return fault(OS_ALLOCATE) ? NULL : strdup(text);
}

char *os_duplicate_part(const char *text, size_t bytes)
{
	return fault(OS_ALLOCATE) ? NULL : strndup(text, bytes);
}

char *os_format(const char *format, ...)
{
	char *text = NULL;
	if (fault(OS_ALLOCATE))
		return NULL;
	va_list args;
	va_start(args, format);
	int bytes = vasprintf(&text, format, args);
	va_end(args);
	return bytes < 0 ? NULL : text;
}

char *os_format_args(const char *format, va_list args)
{
	char *text = NULL;
	return fault(OS_ALLOCATE) || vasprintf(&text, format, args) < 0 ? NULL : text;
}

FILE *os_memory_stream(char **text, size_t *bytes)
{
	return fault(OS_ALLOCATE) ? NULL : open_memstream(text, bytes);
}

FILE *os_stream(int fd, const char *mode)
{
	return fault(OS_ALLOCATE) ? NULL : fdopen(fd, mode);
}

char *os_resolve(const char *path)
{
	return fault(OS_ALLOCATE) ? NULL : realpath(path, NULL);
}

void os_give_to_owner(int directory, int fd)
{
	struct stat found;
	if (geteuid() || fstat(directory, &found) || !found.st_uid)
		return;
	/* Where root may not either, the file stays root's. */
	if (fchown(fd, found.st_uid, found.st_gid))
		return;
}

static int open_at(int directory, const char *name, int flags)
{
	int fd;
	do
		fd = openat(directory, name, flags | OS_OPEN_FLAGS, 0600);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int os_open(int directory, const char *name, int flags)
{
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	if (!(flags & O_CREAT))
		return open_at(directory, name, flags);
	/* Only of a file that is made here the owner may change: another may be anybody's, put in the way. */
	int fd = open_at(directory, name, flags | O_EXCL);
	if (fd >= 0)
		os_give_to_owner(directory, fd);
	return fd == -EEXIST && !(flags & O_EXCL) ? open_at(directory, name, flags & ~O_CREAT) : fd;
}

int os_open_directory(const char *path)
{
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int os_open_any(const char *path, int flags)
{
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	int fd;
	do
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int os_open_temporary(const char *directory)
{
	char path[PATH_MAX];
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	if ((size_t)snprintf(path, sizeof(path), "%s/usagelog.XXXXXX", directory) >= sizeof(path))
		return -ENAMETOOLONG;
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int os_open_memory(void)
{
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	int fd = memfd_create("usagelog", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int os_duplicate_fd(int fd)
{
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own < 0 ? -errno : own;
}

int os_replace_fd(int fd, int by)
{
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	return dup3(by, fd, O_CLOEXEC) < 0 ? -errno : 0;
}

void os_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

int os_list(int directory, DIR **stream)
{
	int error = fault(OS_OPEN);
	if (error)
		return -error;
	int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *found = own < 0 ? NULL : fdopendir(own);
	if (!found) {
		error = -errno;
		os_close(own);
		return error;
	}
	*stream = found;
	return 0;
}

int os_list_next(DIR *stream, const char **name)
{
	int error = fault(OS_READ);
	if (error)
		return -error;
	/* Only errno tells the end from a failure. */
	errno = 0;
	const struct dirent *entry = readdir(stream);
	if (!entry)
		return -errno;
	*name = entry->d_name;
	return 1;
}

int os_stat(int fd, struct stat *found)
{
	int error = fault(OS_STAT);
	if (error)
		return -error;
	return fstat(fd, found) ? -errno : 0;
}

int os_stat_at(int directory, const char *name, struct stat *found)
{
	int error = fault(OS_STAT);
	if (error)
		return -error;
	return fstatat(directory, name, found, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

ssize_t os_read_link(const char *path, char *out, size_t bytes)
{
	int error = fault(OS_READ);
	if (error)
		return -error;
	ssize_t got = readlink(path, out, bytes);
	return got < 0 ? -errno : got;
}

int os_stat_path(const char *path, struct stat *found)
{
	int error = fault(OS_STAT);
	if (error)
		return -error;
	return stat(path, found) ? -errno : 0;
}

ssize_t os_read(int fd, void *out, size_t bytes, uint64_t offset)
{
	int error = fault(OS_READ);
	if (error)
		return -error;
	size_t done = 0;
	while (done < bytes) {
		ssize_t now = pread(fd, (char *)out + done, bytes - done, (off_t)(offset + done));
		if (now < 0 && errno == EINTR)
			continue;
		if (now < 0)
			return -errno;
		if (now == 0)
			break;
		done += (size_t)now;
	}
	return (ssize_t)done;
}

ssize_t os_read_next(int fd, void *out, size_t bytes)
{
	int error = fault(OS_READ);
	if (error)
		return -error;
	ssize_t got;
	do
		got = read(fd, out, bytes);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

int64_t os_seek(int fd, int64_t offset, int whence)
{
	int error = fault(OS_READ);
	if (error)
		return -error;
	off_t found = lseek(fd, (off_t)offset, whence);
	return found < 0 ? -errno : found;
}

/* Beyond the limit, to write or to allocate raises SIGXFSZ, which kills the host. */
static bool is_beyond_limit(uint64_t end)
{
	struct rlimit limit;
	return !getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY && end > limit.rlim_cur;
}

int os_write(int fd, const void *from, size_t bytes, uint64_t offset)
{
	int error = fault(OS_WRITE);
	if (error)
		return -error;
	if (is_beyond_limit(offset + bytes))
		return -EFBIG;
	size_t done = 0;
	while (done < bytes) {
		ssize_t now = pwrite(fd, (const char *)from + done, bytes - done, (off_t)(offset + done));
		if (now < 0 && errno == EINTR)
			continue;
		if (now <= 0)
			return now ? -errno : -ENOSPC;
		done += (size_t)now;
	}
	return 0;
}

int os_sync(int fd)
{
	int error = fault(OS_SYNC);
	if (error)
		return -error;
	return fsync(fd) ? -errno : 0;
}

int os_sync_range(void *address, size_t bytes)
{
	int error = fault(OS_SYNC_RANGE);
	if (error)
		return -error;
	/* The host's pages may be larger than ours. */
	size_t skip = (uintptr_t)address % (size_t)sysconf(_SC_PAGESIZE);
	return msync((char *)address - skip, bytes + skip, MS_SYNC) ? -errno : 0;
}

/* Where the filesystem cannot allocate, zeros are written: slower, and as safe. */
static int write_zeros(int fd, uint64_t offset, uint64_t bytes)
{
	static const char zeros[65536];
	struct stat found;
	int error = os_stat(fd, &found);
	if (error)
		return error;
	uint64_t at = offset > (uint64_t)found.st_size ? offset : (uint64_t)found.st_size;
	while (at < offset + bytes) {
		size_t now = offset + bytes - at < sizeof(zeros) ? (size_t)(offset + bytes - at) : sizeof(zeros);
		error = os_write(fd, zeros, now, at);
		if (error)
			return error;
		at += now;
	}
	return 0;
}

int os_extend(int fd, uint64_t offset, uint64_t bytes, bool may_write)
{
	int error = fault(OS_EXTEND);
	if (!error && is_beyond_limit(offset + bytes))
		return -EFBIG;
	if (!error)
		do
			error = fallocate(fd, 0, (off_t)offset, (off_t)bytes) ? errno : 0;
		while (error == EINTR);
	if (error == EOPNOTSUPP && may_write)
		return write_zeros(fd, offset, bytes);
	return -error;
}

int os_truncate(int fd, uint64_t bytes)
{
	int error = fault(OS_EXTEND);
	if (error)
		return -error;
	return ftruncate(fd, (off_t)bytes) ? -errno : 0;
}

void os_write_in_place(int fd)
{
	int flags;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return;
	flags |= FS_NOCOW_FL;
	/* Where it means nothing, or cannot be had, the file is as good as it gets. */
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int os_map(void **address, size_t bytes, int fd, uint64_t offset, bool writable)
{
	int error = fault(OS_MAP);
	if (error)
		return -error;
	void *found = mmap(NULL, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, (off_t)offset);
	if (found == MAP_FAILED)
		return -errno;
	*address = found;
	return 0;
}

int os_map_for_parent_only(void *address, size_t bytes)
{
	int error = fault(OS_MAP);
	if (error)
		return -error;
	return madvise(address, bytes, MADV_DONTFORK) ? -errno : 0;
}

int os_map_zeros(void **address, size_t bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (*address ? MAP_FIXED : 0);
	void *found = mmap(*address, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (found == MAP_FAILED)
		return -errno;
	*address = found;
	return 0;
}

int os_read_memory(void *to, const void *from, size_t bytes)
{
	struct iovec there = {.iov_base = (void *)(uintptr_t)from, .iov_len = bytes},
		     here = {.iov_base = to, .iov_len = bytes};
	ssize_t got = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	return got < 0 ? -errno : (size_t)got < bytes ? -EFAULT : 0;
}

int os_map_wiped(void **address, size_t bytes)
{
	int error = fault(OS_MAP);
	if (error)
		return -error;
	void *found = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (found == MAP_FAILED)
		return -errno;
	if (madvise(found, bytes, MADV_WIPEONFORK)) {
		error = errno;
		munmap(found, bytes);
		return -error;
	}
	*address = found;
	return 0;
}

void os_unmap(void *address, size_t bytes)
{
	if (address)
		munmap(address, bytes);
}

int os_populate(void *address, size_t bytes, bool writable)
{
	int error = fault(OS_POPULATE);
	if (error)
		return -error;
	return madvise(address, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) ? -errno : 0;
}

void os_unpopulate(void *address, size_t bytes)
{
	if (!fault(OS_POPULATE))
		madvise(address, bytes, MADV_DONTNEED);
}

static int lock_command(int fd, int command, struct flock *lock)
{
	*lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int error = fault(OS_LOCK);
	if (error)
		return -error;
	return fcntl(fd, command, lock) ? -errno : 0;
}

int os_lock(int fd)
{
	struct flock lock;
	int error = lock_command(fd, F_OFD_SETLK, &lock);
	return error == -EACCES ? -EAGAIN : error;
}

int os_is_locked(int fd)
{
	struct flock lock;
	int error = lock_command(fd, F_OFD_GETLK, &lock);
	return error ? error : lock.l_type != F_UNLCK;
}

int os_link(int directory, const char *from, const char *to)
{
	int error = fault(OS_LINK);
	if (error)
		return -error;
	return linkat(directory, from, directory, to, 0) ? -errno : 0;
}

int os_rename(int directory, const char *from, const char *to)
{
	int error = fault(OS_RENAME);
	if (error)
		return -error;
	return renameat(directory, from, directory, to) ? -errno : 0;
}

int os_unlink(int directory, const char *name)
{
	int error = fault(OS_UNLINK);
	if (error)
		return -error;
	return unlinkat(directory, name, 0) ? -errno : 0;
}

int os_make_directories(const char *path)
{
	int error = fault(OS_MKDIR);
	if (error)
		return -error;
	char *copy = os_duplicate(path);
	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0700) && errno != EEXIST)
			break; /* the last mkdir() says what is wrong */
		*slash = '/';
	}
	int failed = mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
	free(copy);
	return failed;
}

/* Filesystems on which a lock or a mapping of one host means nothing to another, or a sync nothing at all. */
static const struct {
	unsigned long magic;
	const char *name;
} remote_filesystems[] = {
	{NFS_SUPER_MAGIC, "nfs"}, {SMB_SUPER_MAGIC, "smb"},   {0xff534d42, "cifs"}, {0xfe534d42, "smb2"},
	{V9FS_MAGIC, "9p"},       {AFS_SUPER_MAGIC, "afs"},   {0x6b414653, "afs"},  {CODA_SUPER_MAGIC, "coda"},
	{NCP_SUPER_MAGIC, "ncp"}, {0x00c36400, "ceph"},       {0x01161970, "gfs2"}, {0x7461636f, "ocfs2"},
	{0x0bd00bd0, "lustre"},   {FUSE_SUPER_MAGIC, "fuse"}, {0x47504653, "gpfs"}, {0x786f4256, "vboxsf"},
};

int os_is_remote(int fd, const char **name)
{
	int error = fault(OS_STATFS);
	if (error)
		return -error;
	struct statfs found;
	if (fstatfs(fd, &found))
		return -errno;
	for (size_t i = 0; i < sizeof(remote_filesystems) / sizeof(remote_filesystems[0]); i++) {
		if ((uint32_t)found.f_type == remote_filesystems[i].magic) {
			*name = remote_filesystems[i].name;
			return 1;
		}
	}
	return 0;
}

int os_random(void *out, size_t bytes)
{
	int error = fault(OS_RANDOM);
	if (error)
		return -error;
	return getrandom(out, bytes, 0) == (ssize_t)bytes ? 0 : -EIO;
}

int os_event(void)
{
	int error = fault(OS_EVENT);
	if (error)
		return -error;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void os_tell(int event)
{
	uint64_t one = 1;
	/* It fails only if it was told so often that it need not be told again. */
	ssize_t written = write(event, &one, sizeof(one));
	(void)written;
}

int os_notify(void)
{
	int error = fault(OS_EVENT);
	if (error)
		return -error;
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int os_notify_add(int notify, const char *path, uint32_t events)
{
	int error = fault(OS_EVENT);
	if (error)
		return -error;
	return inotify_add_watch(notify, path, events | IN_ONLYDIR) < 0 ? -errno : 0;
}

ssize_t os_notify_read(int notify, void *out, size_t bytes)
{
	int error = fault(OS_EVENT);
	if (error)
		return -error;
	ssize_t got = read(notify, out, bytes);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return got;
}

int os_wait_two(int first, int second, uint64_t timeout_ns)
{
	struct pollfd fds[2] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
	struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
				   .tv_nsec = (long)(timeout_ns % 1000000000)};
	if (ppoll(fds, 2, &timeout, NULL) <= 0)
		return 0;
	return (fds[0].revents ? 1 : 0) | (fds[1].revents ? 2 : 0);
}

void os_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

void os_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
				   .tv_nsec = (long)(timeout_ns % 1000000000)};
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
}

void os_wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

int os_uring(void)
{
	return -fault(OS_URING);
}

int os_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	int error = fault(OS_THREAD);
	if (error)
		return -error;
	sigset_t all, before;
	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* of its own accesses: blocked, it kills */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

void os_terminal_size(int fd, uint32_t *columns, uint32_t *lines)
{
	struct winsize size = {0};
	bool known = !ioctl(fd, TIOCGWINSZ, &size);
	*columns = known ? size.ws_col : 0;
	*lines = known ? size.ws_row : 0;
}

uint32_t os_processors(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (uint32_t)CPU_COUNT(&set);
}

uint32_t os_thread_id(void)
{
	return (uint32_t)gettid();
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t os_time_ns(void)
{
	return clock_ns(CLOCK_REALTIME_COARSE);
}

uint64_t os_monotonic_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t os_precise_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}

int os_boot_id(uint8_t id[16])
{
	char text[36];
	int fd = os_open(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY);
	if (fd < 0)
		return fd;
	ssize_t got = os_read(fd, text, sizeof(text), 0);
	os_close(fd);
	if (got < (ssize_t)sizeof(text))
		return got < 0 ? (int)got : -EIO;
	size_t digits = 0;
	memset(id, 0, 16);
	for (size_t i = 0; i < sizeof(text) && digits < 32; i++) {
		const char *hex = "0123456789abcdef", *digit = text[i] == '-' ? NULL : strchr(hex, text[i]);
		if (!digit)
			continue;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | (digit - hex));
		digits++;
	}
	return digits == 32 ? 0 : -EIO;
}
