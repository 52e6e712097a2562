// Twelve threads spin while another execs the program anew, TIMES times (default 30): each exec ends threads that are being read,
// and waits until their tracer has taken their ends.
#include "target.h"

static unsigned left;

static void *exec_again(void *unused) {
    (void)unused;
    spin_until(now_ns() + 60000000u);
    static char times[16];
    snprintf(times, sizeof times, "%u", left - 1);
    execl("/proc/self/exe", "exec_many", times, "again", NULL);
    perror("execl");
    exit(1);
}

int main(int argc, char **argv) {
    left = number(argc, argv, 1, 30);
    if (argc < 3) ready();
    if (!left) {
        report("\"execs\":\"all\"");
        return 0;
    }
    for (int i = 0; i < 12; i++) start(spin_thread, NULL);
    start(exec_again, NULL);
    pause();
}
