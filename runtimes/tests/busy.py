def even(depth):
    if depth:
        return odd(depth - 1)
    return spin()


def odd(depth):
    if depth:
        return even(depth - 1)
    return spin()


def spin():
    total = 0
    for number in counted():
        total += number
    return total


def counted():
    for number in range(20):
        yield number


print("ready", flush=True)
while True:
    even(12)
    odd(11)
