/* Inlined calls, a template, a method, a local function and an exported one. */
namespace app { struct S { int v; int run(int a); };
static inline __attribute__((always_inline)) int twice(int a) { return a * 2 + (a >> 1); }
template <class T> __attribute__((noinline)) T add(T a, T b) { return a + twice(b); }
int S::run(int a) { int s = 0; for (int i = 0; i < a; i++) s += add<int>(i, v) + twice(a); return s; } }
static __attribute__((noinline)) int local(int a) { volatile int b = a; return b; }
extern "C" int entry(int a) { app::S s{a}; return s.run(a) + local(a); }
