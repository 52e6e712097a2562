// What the target programs share: a clock, a spin that notices freezes, and the two lines each of them prints:
// "ready" when it does what it is for, and one line of JSON when it ends (by itself or on SIGTERM) with what it saw.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline))

static _Atomic uint64_t longest_freeze_ns;
static _Atomic int ended;

static UNUSED uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static UNUSED uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static UNUSED void sleep_ms(unsigned ms) {
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {}
}

static UNUSED void note_gap(uint64_t gap) {
    uint64_t longest = longest_freeze_ns;
    while (gap > longest && !atomic_compare_exchange_weak(&longest_freeze_ns, &longest, gap)) {}
}

// Runs on the CPU until `until` or the end, and keeps the longest time in which it did not.
static UNUSED NOINLINE void spin_until(uint64_t until) {
    uint64_t last = now_ns();
    while (!ended && last < until) {
        uint64_t now = now_ns();
        if (now - last > 1000) note_gap(now - last);
        last = now;
    }
}

static UNUSED void *spin_thread(void *unused) {
    (void)unused;
    spin_until(UINT64_MAX);
    return NULL;
}

static UNUSED void start(void *(*run)(void *), void *with) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, with)) {
        perror("pthread_create");
        exit(1);
    }
}

// Blocks SIGTERM for this thread and all that it starts: no handler, so no EINTR of the test's own making.
static UNUSED void block_term(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

// Waits for SIGTERM, then tells every spin to end.
static UNUSED void wait_for_term(void) {
    sigset_t set;
    int signal;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    while (sigwait(&set, &signal)) {}
    ended = 1;
}

static UNUSED void ready(void) {
    puts("ready");
    fflush(stdout);
}

// The last line: the fields given (`"name":value,...` or nothing) and the longest freeze.
static UNUSED void report(const char *fields) {
    printf("{%s%s\"longest_freeze_us\":%llu}\n", fields, *fields ? "," : "",
           (unsigned long long)(longest_freeze_ns / 1000));
    fflush(stdout);
}

static UNUSED unsigned number(int argc, char **argv, int at, unsigned otherwise) {
    return at < argc ? (unsigned)strtoul(argv[at], NULL, 10) : otherwise;
}
