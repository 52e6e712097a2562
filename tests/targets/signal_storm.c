// A child process sends this one real-time signals (queued: each must arrive) and SIGUSR1s (one at a time, each
// awaited), SIGNALS of each (default 20,000), while two threads that take them are on the CPU. Ends when all were sent,
// or on SIGTERM.
// A test expects: received equal to sent for both kinds, in order for the real-time ones.
#include "target.h"
#include <sys/mman.h>

struct counts {
    _Atomic unsigned real_time, disorder, user, last, sent, stop;
};
static struct counts *seen;

static void on_real_time(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    unsigned value = (unsigned)info->si_value.sival_int;
    // Two threads take them, so that neighbours may overtake each other by a little.
    if (value + 64 < seen->last) seen->disorder++;
    seen->last = value;
    seen->real_time++;
}

static void on_user(int signal) {
    (void)signal;
    seen->user++;
}

static void on_term(int signal) {
    (void)signal;
    seen->stop = 1;
}

static int send_all(pid_t target, unsigned many) {
    for (unsigned i = 1; i <= many && !seen->stop; i++) {
        union sigval value = {.sival_int = (int)i};
        while (sigqueue(target, SIGRTMIN + 5, value)) {
            if (errno != EAGAIN) return 1;
            usleep(100);
        }
        unsigned before = seen->user;
        if (kill(target, SIGUSR1)) return 1;
        seen->sent++;
        // A second that passes is a lost signal; the count says so at the end.
        for (uint64_t until = now_ns() + 1000000000u; seen->user == before && now_ns() < until;) usleep(20);
        // Not faster than a busy server gets them: about 2,000 of each kind a second.
        usleep(200);
    }
    return 0;
}

int main(int argc, char **argv) {
    unsigned many = number(argc, argv, 1, 20000);
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_sigaction = on_real_time, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGRTMIN + 5, &action, NULL);
    struct sigaction user = {.sa_handler = on_user, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &user, NULL);
    struct sigaction term = {.sa_handler = on_term, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &term, NULL);
    start(spin_thread, NULL);
    pid_t target = getpid();
    pid_t child = fork();
    if (!child) {
        // The test's end must not leave a sender behind.
        sleep_ms(300);
        _exit(send_all(target, many));
    }
    ready();
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) spin_until(now_ns() + 1000000);
    sleep_ms(200);
    char fields[200];
    snprintf(fields, sizeof fields,
             "\"sent\":%u,\"received_real_time\":%u,\"received_user\":%u,\"disorder\":%u,\"sender_failed\":%s",
             seen->sent, seen->real_time, seen->user, seen->disorder, status ? "true" : "false");
    report(fields);
}
