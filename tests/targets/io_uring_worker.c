// Has the kernel start an io_uring worker thread (a read of an empty pipe, forced off the submitter's thread), which
// is listed among this process's threads but has no user registers. Another thread spins. Until SIGTERM.
// A test expects: the program's own threads in a dump, the worker not.
#include "target.h"
#include <dirent.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

// Whether a thread of this process is named as the kernel names its workers.
static int worker_is_there(void) {
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int found = 0;
    while (tasks && (entry = readdir(tasks))) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fgets(name, sizeof name, file) && !strncmp(name, "iou-wrk", 7)) found = 1;
        fclose(file);
    }
    if (tasks) closedir(tasks);
    return found;
}

static void *ring(void *unused) {
    static char buffer[8];
    struct io_uring_params params = {0};
    int pipes[2];
    int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (fd < 0 || pipe(pipes)) return unused;
    char *sq = mmap(NULL, params.sq_off.array + params.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED,
                    fd, IORING_OFF_SQ_RING);
    struct io_uring_sqe *sqe = mmap(NULL, params.sq_entries * sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                                    IORING_OFF_SQES);
    if (sq == MAP_FAILED || sqe == MAP_FAILED) return unused;
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = IORING_OP_READ;
    sqe->flags = IOSQE_ASYNC;
    sqe->fd = pipes[0];
    sqe->addr = (uint64_t)(uintptr_t)buffer;
    sqe->len = sizeof buffer;
    *(unsigned *)(sq + params.sq_off.array) = 0;
    __atomic_store_n((unsigned *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0);
    for (;;) pause();
    return unused;
}

int main(void) {
    block_term();
    start(ring, NULL);
    start(spin_thread, NULL);
    sleep_ms(200);
    int worker = worker_is_there();
    ready();
    wait_for_term();
    report(worker ? "\"worker\":true" : "\"worker\":false");
}
