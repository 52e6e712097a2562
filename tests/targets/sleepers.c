// THREADS threads in epoll_wait with a timeout, that wake WAKES times a second by it, and BUSY threads on the CPU
// (default 60, 1, 0), until SIGTERM.
// A test expects: no EINTR, and THREADS x WAKES timeouts a second.
#include "target.h"
#include <sys/epoll.h>

static _Atomic uint64_t timeouts, interrupted, other;
static int timeout_ms;

static NOINLINE void wait_once(int epoll) {
    struct epoll_event event;
    int got = epoll_wait(epoll, &event, 1, timeout_ms);
    if (got == 0) timeouts++;
    else if (got < 0 && errno == EINTR) interrupted++;
    else other++;
}

static void *sleeper(void *unused) {
    (void)unused;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) perror("epoll_create1"), exit(1);
    for (;;) wait_once(epoll);
    return NULL;
}

int main(int argc, char **argv) {
    unsigned threads = number(argc, argv, 1, 60), wakes = number(argc, argv, 2, 1);
    timeout_ms = wakes ? (int)(1000 / wakes) : -1;
    block_term();
    for (unsigned i = 0; i < threads; i++) start(sleeper, NULL);
    for (unsigned i = number(argc, argv, 3, 0); i; i--) start(spin_thread, NULL);
    sleep_ms(200);
    uint64_t begun = now_ns(), before = timeouts;
    ready();
    wait_for_term();
    double seconds = (double)(now_ns() - begun) / 1e9;
    char fields[200];
    snprintf(fields, sizeof fields, "\"eintr\":%llu,\"timeouts_per_s\":%.1f,\"other\":%llu,\"seconds\":%.2f",
             (unsigned long long)interrupted, (double)(timeouts - before) / seconds, (unsigned long long)other, seconds);
    report(fields);
}
