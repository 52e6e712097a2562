// Execs itself from another thread than the leader, TIMES times (default 100), with arguments so large that each exec takes a
// while: long enough for a seize to wait for it. Says at the end how often it was still traced 25 ms after an exec, asleep.
#include "target.h"

static unsigned still_traced(void) {
    char line[256];
    unsigned tracer = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "TracerPid: %u", &tracer) == 1) break;
    if (status) fclose(status);
    return tracer != 0;
}

static unsigned left, traced;

static void *exec_again(void *unused) {
    (void)unused;
    static char large[100000], times[16], seen[16];
    memset(large, 'x', sizeof large - 1);
    snprintf(times, sizeof times, "%u", left - 1);
    snprintf(seen, sizeof seen, "%u", traced);
    char *arguments[16] = {"exec_seized", times, seen};
    for (int i = 3; i < 14; i++) arguments[i] = large;
    execv("/proc/self/exe", arguments);
    perror("execv");
    exit(1);
}

int main(int argc, char **argv) {
    left = number(argc, argv, 1, 100);
    traced = number(argc, argv, 2, 0);
    if (argc < 3) ready();
    sleep_ms(25);
    // One that is held on to stays traced for longer than a stop takes.
    if (still_traced()) {
        sleep_ms(300);
        traced += still_traced();
    }
    if (left) {
        start(exec_again, NULL);
        pause();
    }
    char fields[64];
    snprintf(fields, sizeof fields, "\"traced\":%u", traced);
    report(fields);
}
