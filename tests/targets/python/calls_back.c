// A library whose own thread calls back for ever. ctypes gives the thread a Python state for each call, and takes it away.
#include <pthread.h>

typedef void (*callback)(void);

static void *call_back(void *argument) {
    for (;;) ((callback)argument)();
    return NULL;
}

void start(callback function) {
    pthread_t thread;
    pthread_create(&thread, NULL, call_back, (void *)function);
}
