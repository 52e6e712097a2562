// Spins in six threads, one of which ends the process with code 3 after a few milliseconds.
#include "target.h"

static void *end(void *unused) {
    (void)unused;
    spin_until(now_ns() + 30000000u);
    _exit(3);
}

int main(void) {
    for (int i = 0; i < 4; i++) start(spin_thread, NULL);
    start(end, NULL);
    spin_until(UINT64_MAX);
}
