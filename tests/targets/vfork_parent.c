// A thread vforks over and over; each child sleeps 200 ms, in which the kernel holds the parent thread where no stop
// reaches it. Another thread spins. Until SIGTERM.
// A test expects: children that end as ever (longest_vfork_ms little over 200), and no long freeze of the other thread.
#include "target.h"

static _Atomic uint64_t children, longest_ns;

static NOINLINE void one_child(void) {
    uint64_t begun = now_ns();
    pid_t child = vfork();
    if (!child) {
        struct timespec t = {0, 200000000};
        nanosleep(&t, NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    uint64_t took = now_ns() - begun;
    if (took > longest_ns) longest_ns = took;
    children++;
}

static void *parent(void *unused) {
    (void)unused;
    while (!ended) one_child();
    return NULL;
}

int main(void) {
    block_term();
    start(parent, NULL);
    start(spin_thread, NULL);
    ready();
    wait_for_term();
    char fields[100];
    snprintf(fields, sizeof fields, "\"children\":%llu,\"longest_vfork_ms\":%llu", (unsigned long long)children,
             (unsigned long long)(longest_ns / 1000000));
    report(fields);
}
