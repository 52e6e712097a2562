// A C++ program: one thread that builds and walks trees through templates, virtual calls, lambdas and exceptions, and one
// that sleeps in a condition variable and is woken ten times a second. For ever.
// A test expects: names with templates and namespaces, inlined calls, and durations as Sentry computes them.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace acme {

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};

template <typename Number, int Sides> struct Polygon : Shape {
    explicit Polygon(Number side) : side(side) {}
    __attribute__((noinline)) double area() const override {
        double sum = 0;
        for (int i = 0; i < Sides * 2000; i++) sum += static_cast<double>(side) / (i + 1);
        return sum;
    }
    Number side;
};

class Tree {
  public:
    __attribute__((noinline)) void insert(const std::string &key, int value) { nodes[key].push_back(value); }

    template <typename Visit> __attribute__((noinline)) void walk(Visit visit) const {
        for (const auto &[key, values] : nodes)
            for (int value : values) visit(key, value);
    }

  private:
    std::map<std::string, std::vector<int>> nodes;
};

__attribute__((noinline)) static int parse(int number) {
    if (number % 7 == 0) throw std::invalid_argument("seven");
    return number + 1;
}

__attribute__((noinline)) static double round_of_work() {
    Tree tree;
    for (int i = 0; i < 3000; i++) tree.insert(std::to_string(i * 7919 % 1000), i);
    double sum = 0;
    tree.walk([&sum](const std::string &key, int value) { sum += value * static_cast<double>(key.size()); });
    std::vector<std::unique_ptr<Shape>> shapes;
    for (int i = 0; i < 20; i++) {
        shapes.push_back(std::make_unique<Polygon<int, 3>>(i));
        shapes.push_back(std::make_unique<Polygon<double, 5>>(i));
    }
    for (const auto &shape : shapes) sum += shape->area();
    for (int i = 0; i < 200; i++) {
        try {
            sum += parse(i);
        } catch (const std::invalid_argument &) { sum -= 1; }
    }
    return sum;
}

} // namespace acme

int main() {
    std::mutex mutex;
    std::condition_variable changed;
    long rounds = 0;
    std::thread sleeper([&] {
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) changed.wait_for(lock, std::chrono::milliseconds(100));
    });
    std::puts("ready");
    std::fflush(stdout);
    for (volatile double sum = 0;; rounds++) sum = sum + acme::round_of_work();
}
