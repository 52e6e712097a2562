/* Three functions that call each other, each with call frame information of its own. */
static int __attribute__((noinline)) leaf(int a) { volatile int b[4] = {a}; return b[a & 3] * 3; }
int __attribute__((noinline)) mid(int a) { return leaf(a) + leaf(a + 1); }
int outer(int a) { int s = 0; for (int i = 0; i < a; i++) s += mid(i); return s; }
