// Three functions that share one thread's CPU 70 : 20 : 10, by the count of equal loop turns, for SECONDS (default 30)
// or until SIGTERM. The shares are checked by the program's own thread CPU clock and reported, so that a test compares
// with what was, not with what was meant.
// A test expects: samples under `seventy`, `twenty`, `ten` in the reported shares, within three standard errors.
#include "target.h"

static volatile uint64_t sink;
static uint64_t spent[3];

// The same loop in each of the three, so that a turn costs the same in each.
#define TURNS(n)                                                                                                       \
    uint64_t x = sink | 1;                                                                                             \
    for (unsigned i = 0; i < (n); i++) x = x * 6364136223846793005u + 1442695040888963407u;                            \
    sink = x

static NOINLINE void seventy(unsigned turns) { TURNS(7 * turns); }
static NOINLINE void twenty(unsigned turns) { TURNS(2 * turns); }
static NOINLINE void ten(unsigned turns) { TURNS(turns); }

static NOINLINE void round_of_work(unsigned turns) {
    uint64_t a = cpu_ns();
    seventy(turns);
    uint64_t b = cpu_ns();
    twenty(turns);
    uint64_t c = cpu_ns();
    ten(turns);
    uint64_t d = cpu_ns();
    spent[0] += b - a;
    spent[1] += c - b;
    spent[2] += d - c;
}

static void *work(void *seconds) {
    uint64_t until = now_ns() + (uint64_t)(uintptr_t)seconds * 1000000000u;
    // About 3 ms a round: no multiple of a sampling period, and far below a test's length.
    while (!ended && now_ns() < until) round_of_work(250000);
    kill(getpid(), SIGTERM);
    return NULL;
}

int main(int argc, char **argv) {
    block_term();
    start(work, (void *)(uintptr_t)number(argc, argv, 1, 30));
    ready();
    wait_for_term();
    sleep_ms(50);
    double all = (double)(spent[0] + spent[1] + spent[2]);
    char fields[200];
    snprintf(fields, sizeof fields, "\"seventy\":%.5f,\"twenty\":%.5f,\"ten\":%.5f,\"cpu_s\":%.3f",
             (double)spent[0] / all, (double)spent[1] / all, (double)spent[2] / all, all / 1e9);
    report(fields);
}
