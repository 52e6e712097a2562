"""The board, byte by byte as the agent reads it."""

import ctypes

import pytest
from agent import decode

from sentry_profiled.board import BLOCK, FUNCTION, MAGIC, RUN, SIZE, TRANSACTION, Board, Window

ID = "00112233445566778899aabbccddeeff"


def read(board):
    return decode(ctypes.string_at(board.address, SIZE))


@pytest.fixture
def board():
    return Board()


def test_a_new_board_is_empty(board):
    assert board.address % 8 == 0
    assert read(board) == ({"magic": MAGIC, "changes": 0, "open": 0, "lost": 0, "names": 0}, [])
    assert ctypes.string_at(board.address, 8) == b"SSPFBRD1"


def test_an_open_window_and_its_end(board):
    window = Window(FUNCTION, ID, 77, "shop.pay", start=5)
    assert board.begin(window)
    noted = {"sequence": 1, "kind": "function", "thread": 77, "start": 5, "end": 0, "id": ID, "name": "shop.pay"}
    assert read(board) == ({"magic": MAGIC, "changes": 1, "open": 1, "lost": 0, "names": 10}, [noted])

    end = board.end(window)
    assert read(board) == ({"magic": MAGIC, "changes": 2, "open": 0, "lost": 0, "names": 10}, [dict(noted, end=end)])
    assert board.end(window) == 0  # once


def test_the_slot_whose_window_ended_longest_ago_is_taken(board):
    windows = [Window(TRANSACTION, ID) for _ in range(255)]
    assert all(board.begin(window) for window in windows)
    assert not board.begin(Window(RUN, ID))
    assert read(board)[0] == {"magic": MAGIC, "changes": 256, "open": 255, "lost": 1, "names": 0}

    for number in (9, 3, 200):
        board.end(windows[number])
    taken = [Window(RUN, ID) for _ in range(3)]
    offsets = []
    for window in taken:
        board.begin(window)
        offsets.append((window.base * 8 - 64) // 64)
    assert offsets == [9, 3, 200]
    assert [w["sequence"] for w in read(board)[1]][-3:] == [256, 257, 258]


def test_slots_that_were_never_used_are_taken_first(board):
    first = Window(RUN, ID)
    board.begin(first)
    base = first.base
    board.end(first)
    second = Window(RUN, ID)
    board.begin(second)
    assert second.base == base + 8


def test_a_name_is_kept_once_and_cut_between_characters(board):
    for name in ("a", "b", "a", "é" * 200):
        board.begin(Window(BLOCK, ID, 1, name))
    header, windows = read(board)
    assert [w["name"] for w in windows] == ["a", "b", "a", "é" * 128]
    assert header["names"] == 3 + 3 + 2 + 256


def test_without_room_for_its_name_a_window_has_a_common_one(board):
    for number in range(100):
        window = Window(BLOCK, ID, 1, "{:0256}".format(number))
        board.begin(window)
        board.end(window)
    header, windows = read(board)
    assert header["names"] == 63 * 258 + 14
    assert [w["name"] == "(more names)" for w in windows] == [False] * 63 + [True] * 37


def test_a_cleared_board_tells_nothing_of_before(board):
    old = Window(BLOCK, ID, 1, "old")
    board.begin(old)
    board.clear()
    assert read(board) == ({"magic": MAGIC, "changes": 2, "open": 0, "lost": 0, "names": 0}, [])
    assert board.end(old) == 0
    assert read(board)[0]["changes"] == 2
