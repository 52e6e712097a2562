// Calls itself DEPTH times (default 300) with a frame of at least 1,024 bytes, then spins at the bottom until SIGTERM.
// A test expects: DEPTH frames `deeper` when the stack is within reach, or a stack that is truncated with a reason.
#include "target.h"

static volatile char sink;

static NOINLINE unsigned deeper(unsigned left) {
    volatile char room[1024];
    room[0] = (char)left;
    if (left) {
        unsigned result = deeper(left - 1);
        sink = room[0];
        return result + 1;
    }
    spin_until(UINT64_MAX);
    return 0;
}

static void *run(void *depth) {
    deeper((unsigned)(uintptr_t)depth);
    return NULL;
}

int main(int argc, char **argv) {
    block_term();
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512u << 20);
    pthread_create(&thread, &attributes, run, (void *)(uintptr_t)number(argc, argv, 1, 300));
    sleep_ms(100);
    ready();
    wait_for_term();
    report("");
}
