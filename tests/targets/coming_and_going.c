// A small server: one thread that computes PERCENT of the time (default 100), WAITERS threads (default 4) that wake from
// epoll_wait by its timeout, one that waits on a futex for ever, and SLOTS (default 2) in which one short-lived thread
// follows another, each for 60 to 1,500 ms, computing and sleeping in turns. Until SIGTERM.
// A test expects: of each short life [tid, created, begun, ended, joined] (CLOCK_MONOTONIC, us) as much time as it had:
// it was there from `begun` to `ended`, and at no time before `created` or after `joined`. `wall_us` is what CLOCK_REALTIME
// is ahead.
#include "target.h"
#include <sys/epoll.h>
#include <sys/syscall.h>

#define LIVES_MAX 4096

struct life {
    long tid;
    uint64_t created, begun, ended, joined;
    unsigned ms;
};

static struct life lives[LIVES_MAX];
static _Atomic unsigned born;
static pthread_mutex_t never = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t sink;

static NOINLINE void inner_work(unsigned turns) {
    uint64_t x = sink | 1;
    for (unsigned i = 0; i < turns; i++) x = x * 6364136223846793005u + 1442695040888963407u;
    sink = x;
}

static NOINLINE void compute(unsigned us) {
    for (uint64_t until = now_ns() + us * 1000ull; now_ns() < until;) inner_work(5000);
}

static void *worker(void *percent) {
    unsigned busy = (unsigned)(uintptr_t)percent;
    while (!ended) {
        compute(busy * 500);
        if (busy < 100) usleep((100 - busy) * 500);
    }
    return NULL;
}

static void *waiter(void *number) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;
    for (;;) epoll_wait(epoll, &event, 1, 70 * (int)(uintptr_t)number);
    return NULL;
}

static void *futex_waiter(void *unused) {
    pthread_mutex_lock(&never);
    return unused;
}

static void *short_life(void *argument) {
    struct life *life = argument;
    life->begun = now_ns();
    life->tid = syscall(SYS_gettid);
    for (uint64_t until = life->begun + life->ms * 1000000ull; now_ns() < until && !ended;) {
        compute(3000);
        sleep_ms(25);
    }
    life->ended = now_ns();
    return NULL;
}

static void *slot(void *number) {
    unsigned seed = (unsigned)(uintptr_t)number;
    while (!ended) {
        struct life *life = &lives[born++];
        if (life >= lives + LIVES_MAX) return NULL;
        life->ms = 60 + (unsigned)rand_r(&seed) % 1440;
        pthread_t thread;
        life->created = now_ns();
        if (pthread_create(&thread, NULL, short_life, life)) continue;
        pthread_join(thread, NULL);
        life->joined = now_ns();
        sleep_ms(50 + (unsigned)rand_r(&seed) % 400);
    }
    return NULL;
}

static long long us(struct timespec t) { return t.tv_sec * 1000000ll + t.tv_nsec / 1000; }

int main(int argc, char **argv) {
    unsigned percent = number(argc, argv, 1, 100), waiters = number(argc, argv, 2, 4), slots = number(argc, argv, 3, 2);
    block_term();
    pthread_mutex_lock(&never);
    start(futex_waiter, NULL);
    for (unsigned i = 1; i <= waiters; i++) start(waiter, (void *)(uintptr_t)i);
    start(worker, (void *)(uintptr_t)percent);
    for (unsigned i = 1; i <= slots; i++) start(slot, (void *)(uintptr_t)i);
    ready();
    wait_for_term();
    sleep_ms(600);
    struct timespec before, wall, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("{\"wall_us\":%lld,", us(wall) - (us(before) + us(after)) / 2);
    printf("\"lives\":[");
    for (unsigned i = 0, first = 1; i < born && i < LIVES_MAX; i++) {
        struct life *life = &lives[i];
        if (!life->joined) continue;
        printf("%s[%ld,%llu,%llu,%llu,%llu]", first ? "" : ",", life->tid, (unsigned long long)life->created / 1000,
               (unsigned long long)life->begun / 1000, (unsigned long long)life->ended / 1000,
               (unsigned long long)life->joined / 1000);
        first = 0;
    }
    printf("]}\n");
    fflush(stdout);
}
