// As exec_leader, but another thread than the leader execs: it takes over the leader's id, and its own vanishes.
// A test expects: the report of the last image, and named stacks after the last exec.
#include "target.h"

static char *name;
static unsigned left;

static void *replace(void *unused) {
    (void)unused;
    spin_until(now_ns() + 100000000);
    char text[16];
    snprintf(text, sizeof text, "%u", left - 1);
    execl("/proc/self/exe", name, text, (char *)NULL);
    perror("execl");
    exit(1);
}

int main(int argc, char **argv) {
    name = argv[0];
    left = number(argc, argv, 1, 20);
    block_term();
    if (left) {
        start(replace, NULL);
        spin_until(UINT64_MAX);
    }
    start(spin_thread, NULL);
    ready();
    wait_for_term();
    report("\"execs_left\":0");
}
