// Does what the letters of its first argument say, in order, until SIGTERM:
//   c  forks a child that spins
//   g  forks a child that sleeps, and has a child that spins
//   d  the same, but the middle one ends after 300 ms
//   x  forks a child that becomes the program of the second argument after 200 ms
//   w  waits 300 ms
//   l  becomes the leader of a session
//   r  says "ready"
//   e  ends at once with 7, and leaves its children
// Says "LETTER PID" of each child, of the innermost one where there are two. They end with it, or after 20 s.
#include "target.h"
#include <sys/prctl.h>

static pid_t made[64];
static unsigned count;

static void say(char letter, pid_t pid) {
    printf("%c %d\n", letter, pid);
    fflush(stdout);
}

static pid_t born(char letter) {
    int pipes[2];
    if (pipe(pipes)) exit(1);
    pid_t pid = fork();
    if (pid) {
        // The innermost one's id.
        pid_t inner;
        if (read(pipes[0], &inner, sizeof inner) != sizeof inner) exit(1);
        close(pipes[0]);
        close(pipes[1]);
        made[count++] = pid;
        if (inner != pid) made[count++] = inner;
        say(letter, inner);
        return pid;
    }
    if ((letter == 'g' || letter == 'd') && fork()) {
        sleep_ms(letter == 'g' ? 20000 : 300);
        _exit(0);
    }
    pid_t own = getpid();
    if (write(pipes[1], &own, sizeof own) != sizeof own) exit(1);
    close(pipes[0]);
    close(pipes[1]);
    return 0;
}

static void child(char letter, char *program) {
    // Whoever reads what a test prints waits for all that have it open.
    if (!freopen("/dev/null", "w", stderr)) exit(1);
    if (letter == 'x') {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sleep_ms(200);
        execl(program, program, "1", NULL);
    } else {
        spin_until(now_ns() + 20000000000u);
    }
    _exit(0);
}

int main(int argc, char **argv) {
    block_term();
    for (char *letter = argc > 1 ? argv[1] : ""; *letter; letter++) {
        if (*letter == 'w') sleep_ms(300);
        else if (*letter == 'r') ready();
        else if (*letter == 'l') setsid();
        else if (*letter == 'e') _exit(7);
        else if (!born(*letter)) child(*letter, argc > 2 ? argv[2] : "");
    }
    wait_for_term();
    for (unsigned i = 0; i < count; i++) kill(made[i], SIGKILL);
    while (wait(NULL) > 0) {}
    report("");
}
