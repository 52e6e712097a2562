// C++ at work a third of the time, built with g++ -O1 -g.
#include <chrono>
#include <thread>
#include <vector>

namespace acme {
volatile unsigned long sum;

[[gnu::noinline]] void mix(const std::vector<unsigned long> &values) {
    for (int round = 0; round < 40; round++)
        for (unsigned long value : values) sum += value ^ (sum << 3);
}

[[gnu::noinline]] void render(const std::vector<unsigned long> &values) {
    mix(values);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
}
}  // namespace acme

int main() {
    std::vector<unsigned long> values(20000, 7);
    for (;;) acme::render(values);
}
