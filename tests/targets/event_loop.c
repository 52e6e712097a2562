// An event loop on epoll with about 10,000 waits a second, woken by a timer, with a little work between, until SIGTERM.
// It is what a sampler meets on its way into a wait; see docs/decisions/0003-writing-registers.md.
// A test expects: no EINTR, and thousands of waits a second.
#include "target.h"
#include <sys/epoll.h>
#include <sys/timerfd.h>

static _Atomic uint64_t waits, interrupted;

static NOINLINE void handle(int timer) {
    uint64_t expirations;
    if (read(timer, &expirations, sizeof expirations) < 0 && errno == EINTR) interrupted++;
    for (volatile int i = 0; i < 5000; i++) {}
}

static void *event_loop(void *unused) {
    (void)unused;
    int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec period = {{0, 100000}, {0, 100000}};
    struct epoll_event event = {.events = EPOLLIN};
    timerfd_settime(timer, 0, &period, NULL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    while (!ended) {
        waits++;
        int got = epoll_wait(epoll, &event, 1, 1000);
        if (got < 0 && errno == EINTR) interrupted++;
        else handle(timer);
    }
    return NULL;
}

int main(void) {
    block_term();
    start(event_loop, NULL);
    uint64_t begun = now_ns();
    ready();
    wait_for_term();
    char fields[200];
    snprintf(fields, sizeof fields, "\"eintr\":%llu,\"waits_per_s\":%.0f", (unsigned long long)interrupted,
             (double)waits / ((double)(now_ns() - begun) / 1e9));
    report(fields);
}
