import itertools

import numpy as np
import pytest

from service.engine.stop import StopBuffer
from service.model.guesses import GUESS


def send(buffer: StopBuffer, pieces: list[str]) -> tuple[str, list[float]]:
    """The characters that come out when pieces go in; the logprob of a character is minus its index."""
    sent, logprobs, index = "", list[float](), 0
    for piece in pieces:
        buffer.push(piece, -np.arange(index, index + len(piece), dtype=np.float32))
        index += len(piece)
        text, nats, _ = buffer.release(everything=buffer.has_stopped)
        sent, logprobs = sent + text, logprobs + nats.tolist()
        if buffer.has_stopped:
            break
    text, nats, _ = buffer.release(everything=True)
    return sent + text, logprobs + nats.tolist()


def pieces_of(text: str):
    """Every way to cut a text into pieces."""
    for count in range(len(text)):
        for cuts in itertools.combinations(range(1, len(text)), count):
            yield [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]


@pytest.mark.parametrize(
    ("text", "stop", "sent", "has_stopped"),
    [
        ("abcabd", ["abd"], "abc", True),
        ("aaab", ["aab"], "a", True),
        ("ababx", ["abac", "xx"], "ababx", False),
        ("abcdef", ["bcde", "cd"], "ab", True),  # the shorter one is complete first
        ("abcdef", ["d", "bcd", "cd"], "a", True),  # all are complete at d; the longest counts
        ("abc", [], "abc", False),
        ("abc", ["a"], "", True),
    ],
)
def test_text_ends_before_the_first_complete_stop_string_in_any_pieces(
    text: str, stop: list[str], sent: str, has_stopped: bool
) -> None:
    for pieces in pieces_of(text):
        buffer = StopBuffer(stop)
        found, logprobs = send(buffer, pieces)
        assert (found, buffer.has_stopped) == (sent, has_stopped), pieces
        assert logprobs == [-float(index) for index in range(len(sent))]


def test_only_a_possible_beginning_of_a_stop_string_is_held_back() -> None:
    buffer = StopBuffer(["bcd"])
    released = []
    for character in "abcbx":
        buffer.push(character, np.zeros(1, np.float32))
        released.append(buffer.release(everything=False)[0])
    assert released == ["a", "", "", "bc", "bx"]


def test_guesses_are_held_and_released_with_their_characters() -> None:
    buffer = StopBuffer(["bcd"])
    released = []
    for number, character in enumerate("abcbx"):
        buffer.push(character, np.zeros(1, np.float32), np.array([[(number, 0)]], GUESS))
        released += [before[0][0] for before in buffer.release(everything=False).guesses.tolist()]
    assert released == [0, 1, 2, 3, 4]
    buffer.push("abcd", np.zeros(4, np.float32), np.array([[(number, 0)] for number in range(4)], GUESS))
    assert buffer.release(everything=True).guesses.tolist() == [[(0, 0)]]
