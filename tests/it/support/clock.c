// A wall clock that goes wrong on command. Loaded by LD_PRELOAD; clock.rs is the other side.
//
// The file CLOCK_AHEAD, shared memory, holds by how many seconds the time of day is ahead of the system's. Time that only
// ever passes (CLOCK_MONOTONIC and the like) is left alone, as when somebody sets a machine's clock. Nothing here calls
// itself: the real clocks are asked by syscall(2).

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static _Atomic int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_AHEAD");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) ahead = memory;
    close(file);
}

static int64_t ahead_of(clockid_t clock) {
    int tells_the_day = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    return ahead && tells_the_day ? atomic_load(ahead) : 0;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed) now->tv_sec += ahead_of(clock);
    return failed;
}

EXPORT int gettimeofday(struct timeval *now, void *zone) {
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    if (!failed) now->tv_sec += ahead_of(CLOCK_REALTIME);
    return failed;
}

EXPORT time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
