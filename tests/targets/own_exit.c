// Spins for MS milliseconds (default 500) and ends by itself with exit code CODE (default 7); a thread spins with it.
// A test expects: the code, at once, whoever was sampling.
#include "target.h"

int main(int argc, char **argv) {
    start(spin_thread, NULL);
    ready();
    spin_until(now_ns() + (uint64_t)number(argc, argv, 1, 500) * 1000000);
    report("");
    exit((int)number(argc, argv, 2, 7));
}
