// A program of its own that starts Python late: works alone for argv[1] milliseconds, then runs the file argv[2] in the
// interpreter that is linked into it. Nothing is mapped by then that was not from the start.
#include <Python.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sum;

__attribute__((noinline)) static void work_alone(long milliseconds) {
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (int i = 0; i < 100000; i++) sum += i;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < milliseconds);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    puts("ready");
    fflush(stdout);
    work_alone(atol(argv[1]));
    FILE *file = fopen(argv[2], "r");
    if (!file) return 1;
    Py_Initialize();
    int result = PyRun_SimpleFileEx(file, argv[2], 1);
    Py_Finalize();
    return result;
}
