// A 32-bit process without a C library (built -m32 -nostdlib -static): says "ready" and sleeps until it is killed.
// A test expects: that it is refused, with the reason.
static int call(int number, int a, int b, int c) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

void _start(void) {
    static const char text[] = "ready\n";
    call(4, 1, (int)text, 6);
    for (;;) call(29, 0, 0, 0);
}
