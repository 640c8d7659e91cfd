// A disk that tells what it was asked to do, and fails on command. Loaded by LD_PRELOAD; disk.rs is the other side.
//
// Below the directory DISK_UNDER, every operation that changes something is appended to the file DISK_TRACE once it
// is done and before the caller hears of it; the file DISK_CONTROL, shared memory, says what fails. Real work goes to
// the kernel by syscall(2), so nothing here can call itself. What a program does by other calls or by mmap is not
// seen: Trace::check_whole finds that out. SQLite's shared memory, "-shm", is not followed: it need not survive.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

// The trace ------------------------------------------------------------------------------------------------------

enum kind { CREATE = 1, WRITE, LENGTH, SYNC_BEGINS, SYNC_ENDS, RENAME, UNLINK, MKDIR, RMDIR, FAULT };

// Begins and ends each record, so that a record cut short by a kill can be told from a whole one.
static const char HEAD[8] = "\xd1sk<op>\n", TAIL[8] = "\xd1sk</op\n";

struct record {
    char head[8];
    uint64_t kind, inode, number, length;
};

// What may fail, in the order of disk.rs.
enum op { OPEN_OP, WRITE_OP, SYNC_OP, TRUNCATE_OP, RENAME_OP, UNLINK_OP, OPS };

struct rule {
    _Atomic uint64_t error; // an errno, or 0 for none
    _Atomic int64_t left;   // how many more; less than 0 for all
    _Atomic uint64_t failed;
    char suffix[40]; // of the names that fail
};

struct control {
    struct rule rules[OPS];
    _Atomic uint64_t sync_delay_ms, delayed;
    _Atomic uint64_t sync_faked, faked;
};

static char under[PATH_MAX];
static size_t under_length;
static int trace = -1;
static struct control *control;

static void die(const char *what) {
    dprintf(2, "disk.c: %s: %s\n", what, strerror(errno));
    abort();
}

// Out of the way of shells, which use small numbers for their own purposes.
static int open_high(const char *variable) {
    const char *path = getenv(variable);
    int low = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_APPEND | O_CLOEXEC, 0) : -1;
    if (low < 0) die(variable);
    int high = (int)syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, 200);
    if (high < 0) return low;
    syscall(SYS_close, low);
    return high;
}

// One append is one system call: the kernel keeps those of all threads and processes apart.
static void record(enum kind kind, uint64_t inode, uint64_t number, const struct iovec *data, int count) {
    struct iovec parts[16];
    if (count > 14) die("too many parts in one write");
    struct record head = {.kind = kind, .inode = inode, .number = number};
    memcpy(head.head, HEAD, sizeof HEAD);
    for (int i = 0; i < count; i++) head.length += (parts[i + 1] = data[i]).iov_len;
    parts[0] = (struct iovec){&head, sizeof head};
    parts[count + 1] = (struct iovec){(void *)TAIL, sizeof TAIL};
    long whole = (long)(sizeof head + head.length + sizeof TAIL);
    int before = errno;
    if (syscall(SYS_writev, trace, parts, count + 2) != whole) die("the trace cannot be written");
    errno = before;
}

static void record_text(enum kind kind, uint64_t inode, uint64_t number, const char *text, size_t length) {
    struct iovec data = {(void *)text, length};
    record(kind, inode, number, &data, 1);
}

// Which files are followed ---------------------------------------------------------------------------------------

static bool ends(const char *name, const char *suffix) {
    size_t length = strlen(name), tail = strlen(suffix);
    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

// The part of an absolute path below DISK_UNDER: "" for itself, NULL for another's or for shared memory.
static const char *below(const char *path) {
    if (!under_length || strncmp(path, under, under_length) != 0) return NULL;
    if (path[under_length] == 0) return path + under_length;
    if (path[under_length] != '/' || ends(path, "-shm")) return NULL;
    return path + under_length + 1;
}

// The same for what a system call was given; the last name need not exist. The answer lives in `room`.
static const char *locate(int at, const char *path, char *room) {
    if (!under_length || !path || !*path) return NULL;
    char full[2 * PATH_MAX] = "", parent[PATH_MAX], link[64];
    if (path[0] != '/' && at != AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, full, PATH_MAX - 1);
        if (length < 0) return NULL;
        full[length++] = '/';
        full[length] = 0;
    } else if (path[0] != '/') {
        strcpy(full, "./");
    }
    strncat(full, path, PATH_MAX - 1);
    for (size_t end = strlen(full); end > 1 && full[end - 1] == '/'; end--) full[end - 1] = 0;
    int before = errno;
    char *name = strrchr(full, '/');
    const char *found = NULL;
    if (realpath(full, room) && strcmp(room, under) == 0) {
        found = "";
    } else {
        *name = 0;
        if (realpath(name == full ? "/" : full, parent) && strlen(parent) + strlen(name + 1) + 2 < PATH_MAX) {
            snprintf(room, 2 * PATH_MAX, "%s/%s", parent, name + 1);
            found = below(room);
        }
    }
    errno = before;
    return found;
}

struct file {
    uint64_t inode;
    char name[]; // below DISK_UNDER, when it was opened
};

enum { FILES = 65536 };
static _Atomic(struct file *) files[FILES];

static struct file *followed(int fd) {
    return fd >= 0 && fd < FILES ? atomic_load(&files[fd]) : NULL;
}

static void forget(int fd) {
    if (fd >= 0 && fd < FILES) free(atomic_exchange(&files[fd], NULL));
}

static void follow(int fd, uint64_t inode, const char *name) {
    if (fd < 0 || fd >= FILES) return;
    struct file *file = malloc(sizeof *file + strlen(name) + 1);
    if (!file) die("no memory");
    file->inode = inode;
    strcpy(file->name, name);
    free(atomic_exchange(&files[fd], file));
}

static int follow_copy(int from, int to) {
    struct file *file = followed(from);
    if (to < 0 || to == from) return to;
    if (file) follow(to, file->inode, file->name);
    else forget(to);
    return to;
}

static uint64_t inode_of(const char *name) {
    char path[2 * PATH_MAX];
    struct stat stat;
    snprintf(path, sizeof path, "%s/%s", under, name);
    return lstat(path, &stat) == 0 ? stat.st_ino : 0;
}

// A shell opens a file for the program that it starts.
static void follow_inherited(int fd) {
    char link[64], path[PATH_MAX];
    struct stat stat;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0 || fstat(fd, &stat) < 0) return;
    path[length] = 0;
    const char *name = below(path);
    if (name) follow(fd, stat.st_ino, name);
}

__attribute__((constructor)) static void start(void) {
    const char *directory = getenv("DISK_UNDER");
    if (!directory || !realpath(directory, under)) return;
    trace = open_high("DISK_TRACE");
    int shared = open_high("DISK_CONTROL");
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (control == MAP_FAILED) die("DISK_CONTROL");
    syscall(SYS_close, shared);
    under_length = strlen(under);
    for (int fd = 0; fd <= 2; fd++) follow_inherited(fd);
}

// Faults ---------------------------------------------------------------------------------------------------------

// Whether this operation is to fail; then errno is set and the fault is on record.
static bool fails(enum op op, uint64_t inode, const char *name) {
    struct rule *rule = &control->rules[op];
    uint64_t error = atomic_load(&rule->error);
    if (!error || !ends(name, rule->suffix)) return false;
    int64_t left = atomic_load(&rule->left);
    do {
        if (left == 0) return false;
    } while (left > 0 && !atomic_compare_exchange_weak(&rule->left, &left, left - 1));
    record_text(FAULT, inode, (uint64_t)op << 32 | error, name, strlen(name));
    atomic_fetch_add(&rule->failed, 1);
    errno = (int)error;
    return true;
}

static void wait_ms(uint64_t ms) {
    if (!ms) return;
    atomic_fetch_add(&control->delayed, 1);
    struct timespec rest = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR) {}
}

// Operations -----------------------------------------------------------------------------------------------------

static int opened(int at, const char *path, int flags, mode_t mode) {
    char room[2 * PATH_MAX];
    const char *name = locate(at, path, room);
    if (!name) {
        int fd = (int)syscall(SYS_openat, at, path, flags, mode);
        if (fd >= 0) forget(fd);
        return fd;
    }
    if (fails(OPEN_OP, inode_of(name), name)) return -1;
    bool missing = (flags & O_CREAT) && inode_of(name) == 0;
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0) return fd;
    if (missing) record_text(CREATE, stat.st_ino, 0, name, strlen(name));
    else if (flags & O_TRUNC) record(LENGTH, stat.st_ino, 0, NULL, 0);
    follow(fd, stat.st_ino, name);
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

// A write at the file's own position is one that ended where the position is now.
static ssize_t wrote(int fd, struct file *file, ssize_t count, off_t at, const struct iovec *data, int parts) {
    if (count <= 0) return count;
    if (at < 0) at = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) - count;
    struct iovec done[14];
    size_t left = (size_t)count;
    int used = 0;
    for (; used < parts && used < 14 && left > 0; used++) {
        done[used] = data[used];
        if (done[used].iov_len > left) done[used].iov_len = left;
        left -= done[used].iov_len;
    }
    if (left) die("too many parts in one write");
    record(WRITE, file->inode, (uint64_t)at, done, used);
    return count;
}

static int synced(int fd, long call) {
    static _Atomic uint64_t number;
    struct file *file = followed(fd);
    if (!file) return (int)syscall(call, fd);
    // It counts for what was written before it began, and from the moment it has ended.
    uint64_t this = (uint64_t)getpid() << 32 | atomic_fetch_add(&number, 1);
    record(SYNC_BEGINS, file->inode, this, NULL, 0);
    wait_ms(atomic_load(&control->sync_delay_ms));
    if (fails(SYNC_OP, file->inode, file->name)) return -1;
    if (atomic_load(&control->sync_faked)) {
        atomic_fetch_add(&control->faked, 1);
        return 0;
    }
    int result = (int)syscall(call, fd);
    if (result == 0) record(SYNC_ENDS, file->inode, this, NULL, 0);
    return result;
}

static int truncated(int fd, off_t length) {
    struct file *file = followed(fd);
    if (file && fails(TRUNCATE_OP, file->inode, file->name)) return -1;
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (file && result == 0) record(LENGTH, file->inode, (uint64_t)length, NULL, 0);
    return result;
}

// Room that is made beforehand shows as length only.
static int allocated(int fd, int mode, off_t at, off_t length) {
    struct file *file = followed(fd);
    struct stat before;
    if (file && fails(WRITE_OP, file->inode, file->name)) return -1;
    if (file && fstat(fd, &before) < 0) return -1;
    int result = (int)syscall(SYS_fallocate, fd, mode, at, length);
    if (file && result == 0 && mode == 0 && at + length > before.st_size)
        record(LENGTH, file->inode, (uint64_t)(at + length), NULL, 0);
    return result;
}

static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char from_room[2 * PATH_MAX], to_room[2 * PATH_MAX], both[4 * PATH_MAX];
    const char *old = locate(from_at, from, from_room), *new = locate(to_at, to, to_room);
    if (old && new && fails(RENAME_OP, inode_of(old), new)) return -1;
    int result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (result == 0 && (old || new)) {
        if (!old || !new || (flags & RENAME_EXCHANGE)) die("a rename that cannot be followed");
        int length = snprintf(both, sizeof both, "%s%c%s", old, 0, new);
        record_text(RENAME, inode_of(new), 0, both, (size_t)length);
    }
    return result;
}

static int removed(int at, const char *path, int flags) {
    char room[2 * PATH_MAX];
    const char *name = locate(at, path, room);
    if (name && fails(UNLINK_OP, inode_of(name), name)) return -1;
    int result = (int)syscall(SYS_unlinkat, at, path, flags);
    if (name && result == 0) record_text(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, name, strlen(name));
    return result;
}

static int made(int at, const char *path, mode_t mode) {
    char room[2 * PATH_MAX];
    const char *name = locate(at, path, room);
    if (name && fails(OPEN_OP, 0, name)) return -1;
    int result = (int)syscall(SYS_mkdirat, at, path, mode);
    if (name && result == 0) record_text(MKDIR, inode_of(name), 0, name, strlen(name));
    return result;
}

// What programs call ---------------------------------------------------------------------------------------------

#define OPEN(symbol)                                                    \
    EXPORT int symbol(const char *path, int flags, ...) {               \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        mode_t mode = mode_of(flags, rest);                             \
        va_end(rest);                                                   \
        return opened(AT_FDCWD, path, flags, mode);                     \
    }
#define OPENAT(symbol)                                                  \
    EXPORT int symbol(int at, const char *path, int flags, ...) {       \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        mode_t mode = mode_of(flags, rest);                             \
        va_end(rest);                                                   \
        return opened(at, path, flags, mode);                           \
    }
#define CREAT(symbol)                                                   \
    EXPORT int symbol(const char *path, mode_t mode) {                  \
        return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64) CREAT(creat) CREAT(creat64)

EXPORT int close(int fd) {
    forget(fd);
    return (int)syscall(SYS_close, fd);
}

EXPORT int dup(int fd) { return follow_copy(fd, (int)syscall(SYS_dup, fd)); }

EXPORT int dup3(int fd, int to, int flags) { return follow_copy(fd, (int)syscall(SYS_dup3, fd, to, flags)); }

EXPORT int dup2(int fd, int to) { return fd == to ? to : dup3(fd, to, 0); }

#define FCNTL(symbol)                                                   \
    EXPORT int symbol(int fd, int command, ...) {                       \
        va_list rest;                                                   \
        va_start(rest, command);                                        \
        void *argument = va_arg(rest, void *);                          \
        va_end(rest);                                                   \
        int result = (int)syscall(SYS_fcntl, fd, command, argument);    \
        bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC; \
        return copies ? follow_copy(fd, result) : result;               \
    }
FCNTL(fcntl) FCNTL(fcntl64)

EXPORT ssize_t write(int fd, const void *data, size_t count) {
    struct file *file = followed(fd);
    if (!file) return syscall(SYS_write, fd, data, count);
    if (fails(WRITE_OP, file->inode, file->name)) return -1;
    struct iovec part = {(void *)data, count};
    return wrote(fd, file, syscall(SYS_write, fd, data, count), -1, &part, 1);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct file *file = followed(fd);
    if (!file) return syscall(SYS_writev, fd, parts, count);
    if (fails(WRITE_OP, file->inode, file->name)) return -1;
    return wrote(fd, file, syscall(SYS_writev, fd, parts, count), -1, parts, count);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t count, off_t at) {
    struct file *file = followed(fd);
    if (!file) return syscall(SYS_pwrite64, fd, data, count, at);
    if (fails(WRITE_OP, file->inode, file->name)) return -1;
    struct iovec part = {(void *)data, count};
    return wrote(fd, file, syscall(SYS_pwrite64, fd, data, count, at), at, &part, 1);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) { return pwrite(fd, data, count, at); }

// Copies inside the kernel have no bytes to write down: who asks for them has another way.
EXPORT ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags) {
    if (!followed(to)) return syscall(SYS_copy_file_range, from, from_at, to, to_at, count, flags);
    errno = EXDEV;
    return -1;
}

#define SENDFILE(symbol, offset)                                                       \
    EXPORT ssize_t symbol(int to, int from, offset *at, size_t count) {                \
        if (!followed(to)) return syscall(SYS_sendfile, to, from, at, count);          \
        errno = EINVAL;                                                                \
        return -1;                                                                     \
    }
SENDFILE(sendfile, off_t) SENDFILE(sendfile64, off64_t)

EXPORT int fsync(int fd) { return synced(fd, SYS_fsync); }

EXPORT int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

EXPORT int ftruncate(int fd, off_t length) { return truncated(fd, length); }

EXPORT int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

EXPORT int fallocate(int fd, int mode, off_t at, off_t length) { return allocated(fd, mode, at, length); }

EXPORT int fallocate64(int fd, int mode, off64_t at, off64_t length) { return allocated(fd, mode, at, length); }

// Returns the error, and leaves errno alone.
EXPORT int posix_fallocate(int fd, off_t at, off_t length) {
    int before = errno;
    int error = allocated(fd, 0, at, length) < 0 ? errno : 0;
    errno = before;
    return error;
}

EXPORT int posix_fallocate64(int fd, off64_t at, off64_t length) { return posix_fallocate(fd, at, length); }

EXPORT int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }

EXPORT int renameat(int from_at, const char *from, int to_at, const char *to) {
    return renamed(from_at, from, to_at, to, 0);
}

EXPORT int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return renamed(from_at, from, to_at, to, flags);
}

EXPORT int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }

EXPORT int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }

EXPORT int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

EXPORT int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }

EXPORT int mkdirat(int at, const char *path, mode_t mode) { return made(at, path, mode); }
