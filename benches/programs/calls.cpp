// Recursion through virtual calls and std::function, sorting at the bottom.
#include <algorithm>
#include <functional>
#include <vector>
struct Base { virtual long run(int) = 0; virtual ~Base() {} };
struct A : Base { long run(int) override; };
struct B : Base { long run(int) override; };
static A a; static B b; volatile long sink;
long leaf(int d) {
    std::vector<int> v(200);
    for (int i = 0; i < 200; i++) v[i] = (i * 7919 + d) % 1009;
    std::sort(v.begin(), v.end(), [](int x, int y) { return x > y; });
    return v[3];
}
long A::run(int d) { return d <= 0 ? leaf(d) : ((Base *)&b)->run(d - 1) + 1; }
long B::run(int d) {
    std::function<long(int)> f = [&](int k) { return ((Base *)&a)->run(k); };
    return d <= 0 ? leaf(d) : f(d - 1) + 2;
}
int main() { for (;;) for (int i = 0; i < 20; i++) sink += ((Base *)(i & 1 ? (Base *)&a : (Base *)&b))->run(i); }
