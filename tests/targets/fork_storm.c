// Forks about 300 children a second, each with 1 ms of CPU, and waits for each, until SIGTERM.
// A test expects: every child waited for, none failed.
#include "target.h"

static _Atomic uint64_t forked, waited, failed;

static void *storm(void *unused) {
    (void)unused;
    while (!ended) {
        pid_t child = fork();
        if (!child) {
            spin_until(now_ns() + 1000000);
            _exit(0);
        }
        if (child < 0) {
            failed++;
            continue;
        }
        forked++;
        int status;
        if (waitpid(child, &status, 0) == child && status == 0) waited++;
        usleep(1000);
    }
    return NULL;
}

int main(void) {
    block_term();
    pthread_t thread;
    pthread_create(&thread, NULL, storm, NULL);
    start(spin_thread, NULL);
    ready();
    wait_for_term();
    pthread_join(thread, NULL);
    char fields[100];
    snprintf(fields, sizeof fields, "\"forked\":%llu,\"waited\":%llu,\"failed\":%llu", (unsigned long long)forked,
             (unsigned long long)waited, (unsigned long long)failed);
    report(fields);
}
