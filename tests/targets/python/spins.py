# Works in `inner` under `outer`, for ever.
def inner():
    total = 0
    for number in range(20000):
        total += number * number % 7
    return total


def outer():
    while True:
        inner()


outer()
