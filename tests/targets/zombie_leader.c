// The leader ends while two threads run on: /proc/PID/maps and /proc/PID/exe are empty, the threads' own are not.
// Reports on SIGTERM.
// A test expects: stacks of the living threads, named.
#include "target.h"

static void *waiter(void *unused) {
    (void)unused;
    sleep_ms(100);
    ready();
    wait_for_term();
    report("");
    exit(0);
}

int main(void) {
    block_term();
    start(spin_thread, NULL);
    start(waiter, NULL);
    pthread_exit(NULL);
}
