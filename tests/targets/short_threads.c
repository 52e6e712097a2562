// Starts and joins PER_SECOND threads a second (default 5,000), each with a few microseconds of work; one more thread
// spins. Until SIGTERM.
// A test expects: every thread joined, and a sampler that keeps its rate for the thread that stays.
#include "target.h"

static _Atomic uint64_t started, joined;
static unsigned per_second;

static void *brief(void *unused) {
    for (volatile int i = 0; i < 2000; i++) {}
    return unused;
}

static void *starter(void *unused) {
    (void)unused;
    uint64_t next = now_ns(), period = 1000000000u / per_second;
    while (!ended) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, brief, NULL)) continue;
        started++;
        if (!pthread_join(thread, NULL)) joined++;
        next += period;
        uint64_t now = now_ns();
        if (next > now + 50000) usleep((unsigned)((next - now) / 1000));
    }
    return NULL;
}

int main(int argc, char **argv) {
    per_second = number(argc, argv, 1, 5000);
    block_term();
    pthread_t thread;
    pthread_create(&thread, NULL, starter, NULL);
    start(spin_thread, NULL);
    uint64_t begun = now_ns();
    ready();
    wait_for_term();
    pthread_join(thread, NULL);
    char fields[150];
    snprintf(fields, sizeof fields, "\"started\":%llu,\"joined\":%llu,\"per_s\":%.0f", (unsigned long long)started,
             (unsigned long long)joined, (double)started / ((double)(now_ns() - begun) / 1e9));
    report(fields);
}
