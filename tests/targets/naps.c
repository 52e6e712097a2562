// 100 threads that never wake, and one that sleeps 700 ms and works 30 ms, in turns, until SIGTERM.
// A test expects: as many samples in `awake` as the reported time in it lets expect, although a profiler may have
// found the process asleep for half a second each time.
#include "target.h"
#include <sys/eventfd.h>

static _Atomic uint64_t worked_ns, naps;

static NOINLINE void awake(void) {
    uint64_t begun = now_ns();
    spin_until(begun + 30000000);
    worked_ns += now_ns() - begun;
    naps++;
}

static void *napper(void *unused) {
    (void)unused;
    while (!ended) {
        sleep_ms(700);
        awake();
    }
    return NULL;
}

static void *sleeper(void *unused) {
    (void)unused;
    int never = eventfd(0, EFD_CLOEXEC);
    uint64_t value;
    for (;;)
        if (read(never, &value, sizeof value) < 0) perror("read");
    return NULL;
}

int main(void) {
    block_term();
    for (unsigned i = 0; i < 100; i++) start(sleeper, NULL);
    start(napper, NULL);
    sleep_ms(200);
    worked_ns = naps = 0;
    ready();
    wait_for_term();
    char fields[100];
    snprintf(fields, sizeof fields, "\"worked_s\":%.4f,\"naps\":%llu", (double)worked_ns / 1e9, (unsigned long long)naps);
    report(fields);
}
