// Reads bytes that come every 50 us from a socket with a timeout, by read(2), for SECONDS (default 4), and counts EINTR.
#include "target.h"
#include <sys/socket.h>
#include <sys/time.h>

static int ends[2];

static void *writer(void *unused) {
    (void)unused;
    while (!ended) {
        struct timespec pause = {0, 50000};
        nanosleep(&pause, NULL);
        if (write(ends[1], "x", 1) < 0) break;
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return 1;
    struct timeval timeout = {1, 0};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    start(writer, NULL);
    ready();
    uint64_t until = now_ns() + number(argc, argv, 1, 4) * 1000000000ull;
    unsigned long reads = 0, interrupted = 0;
    while (now_ns() < until) {
        char byte;
        interrupted += read(ends[0], &byte, 1) < 0 && errno == EINTR;
        reads++;
        // Between two reads it runs, so that it is interrupted just before one.
        for (volatile int i = 0; i < 20000; i++) {}
    }
    ended = 1;
    char fields[96];
    snprintf(fields, sizeof fields, "\"reads\":%lu,\"eintr\":%lu", reads, interrupted);
    report(fields);
}
