// THREADS threads (default 1, main is one more that waits) on the CPU until SIGTERM.
// A test expects: frames `spin_thread;spin_until`, and a longest freeze of a few scheduler slices.
#include "target.h"

int main(int argc, char **argv) {
    block_term();
    for (unsigned i = number(argc, argv, 1, 1); i; i--) start(spin_thread, NULL);
    ready();
    wait_for_term();
    report("");
}
