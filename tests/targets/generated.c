// Code that is made at run time: main -> made_outer (made, keeps a frame pointer) -> work (C) -> made_spin (made).
//
//   generated anon|shared map|none|again
//
// `anon`: in anonymous memory; `shared`: in a memfd that is mapped to be run, as .NET does it. `map`: says in perf-PID.map
// what is where. `again`: says so ten times a second, each time by another name: made_0, made_1 ...
#include "target.h"
#include <sys/mman.h>

static const unsigned char OUTER[] = {
    0x55,             // push rbp
    0x48, 0x89, 0xe5, // mov rbp, rsp
    0xff, 0xd7,       // call rdi
    0x5d, 0xc3,       // pop rbp; ret
};
static const unsigned char SPIN[] = {
    0x55, 0x48, 0x89, 0xe5,             // push rbp; mov rbp, rsp
    0xb9, 0x00, 0x00, 0x10, 0x00,       // mov ecx, 0x100000
    0xff, 0xc9, 0x75, 0xfc, 0x5d, 0xc3, // 1: dec ecx; jnz 1b; pop rbp; ret
};
enum { SPIN_AT = 0x100, SIZE = 0x1000 };

static unsigned char *code;

static unsigned char *place(int shared) {
    int fd = shared ? memfd_create("made", 0) : -1;
    if (shared && ftruncate(fd, SIZE) != 0) exit(1);
    int flags = shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    unsigned char *writable = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (writable == MAP_FAILED) exit(1);
    memcpy(writable, OUTER, sizeof OUTER);
    memcpy(writable + SPIN_AT, SPIN, sizeof SPIN);
    if (shared) return mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (mprotect(writable, SIZE, PROT_READ | PROT_EXEC) != 0) exit(1);
    return writable;
}

static NOINLINE void work(void) {
    ((void (*)(void))(code + SPIN_AT))();
    // Not its last call.
    __asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    code = place(strcmp(argv[1], "shared") == 0);
    int again = strcmp(argv[2], "again") == 0;
    FILE *map = NULL;
    if (strcmp(argv[2], "none") != 0) {
        char path[64];
        snprintf(path, sizeof path, "/tmp/perf-%d.map", getpid());
        map = fopen(path, "w");
        if (map == NULL) return 1;
        setvbuf(map, NULL, _IOLBF, 0);
        fprintf(map, "%lx %zx made_outer\n", (unsigned long)code, sizeof OUTER);
        if (!again) fprintf(map, "%lx %zx made_spin\n", (unsigned long)(code + SPIN_AT), sizeof SPIN);
    }
    // For who writes a map for it.
    printf("%lx\n", (unsigned long)code);
    ready();
    uint64_t next = 0;
    for (unsigned turn = 0;;) {
        if (again && now_ns() >= next) {
            fprintf(map, "%lx %zx made_%u\n", (unsigned long)(code + SPIN_AT), sizeof SPIN, turn++);
            next = now_ns() + 100000000u;
        }
        ((void (*)(void (*)(void)))code)(work);
    }
}
