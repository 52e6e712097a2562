// The leader replaces the program by itself TIMES times (default 20), 100 ms of CPU apart, with another thread running
// at each; then spins until SIGTERM.
// A test expects: the report of the last image, and named stacks after the last exec.
#include "target.h"

int main(int argc, char **argv) {
    unsigned left = number(argc, argv, 1, 20);
    block_term();
    start(spin_thread, NULL);
    if (left) {
        spin_until(now_ns() + 100000000);
        char text[16];
        snprintf(text, sizeof text, "%u", left - 1);
        execl("/proc/self/exe", argv[0], text, (char *)NULL);
        perror("execl");
        return 1;
    }
    ready();
    wait_for_term();
    report("\"execs_left\":0");
}
