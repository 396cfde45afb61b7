import numpy as np

from service.analysis.inspect import CHARS_PER_CALL, InspectedCharacters, inspect
from tests.service.analysis.fakes import InspectingByteModel, InspectingModel

UNITS = [(0, 1), (0, 0), (0, 1)]


def logprobs_of(found: list[InspectedCharacters]) -> list[float]:
    return [logprob for characters in found for logprob in characters.logprobs.tolist()]


def test_each_character_has_its_logprob_guesses_and_activations() -> None:
    model, text = InspectingModel(), "abcdefghij" * 7
    found = list(inspect(model, text, UNITS))  # type: ignore[arg-type]
    assert "".join(characters.text for characters in found) == text
    assert logprobs_of(found) == [-float(step) for step in range(70)], "the state is carried from call to call"
    assert [guesses for characters in found for guesses in characters.guesses] == [["\ufffd", "a", "b", "c", "d"]] * 70
    guess_logprobs = np.concatenate([characters.guess_logprobs for characters in found])
    np.testing.assert_allclose(guess_logprobs[33], [-33, -33.1, -33.2, -33.3, -33.4], rtol=1e-6)
    activations = np.concatenate([characters.activations for characters in found])
    assert activations.shape == (70, 3)
    np.testing.assert_allclose(activations[41], [0.0415, 0.04125, 0.0415], rtol=1e-6)


def test_a_call_is_short() -> None:
    model = InspectingModel()
    list(inspect(model, "ab" * 50, []))  # type: ignore[arg-type]
    assert model.inspected == [CHARS_PER_CALL] * 3 + [100 - 3 * CHARS_PER_CALL]


def test_without_units_there_are_no_activations() -> None:
    (found,) = inspect(InspectingModel(), "abc", [])  # type: ignore[arg-type]
    assert found.activations.shape == (3, 0)


def test_a_character_of_bytes_has_the_guesses_before_it_and_the_activations_after_it() -> None:
    model, text = InspectingByteModel(), "a😀é" * 20
    sizes = [len(character.encode()) for character in text]
    ends = np.cumsum(sizes)
    found = list(inspect(model, text, [(0, 0)]))  # type: ignore[arg-type]
    starts = (ends - sizes).tolist()
    assert logprobs_of(found) == [
        -float(sum(range(start, start + size))) for start, size in zip(starts, sizes, strict=True)
    ]
    guess_logprobs = np.concatenate([characters.guess_logprobs for characters in found])
    np.testing.assert_array_equal(guess_logprobs[:, 0], [-float(start) for start in starts])
    activations = np.concatenate([characters.activations for characters in found])[:, 0]
    np.testing.assert_allclose(activations, (ends - 1 + 0.25) / 1000, rtol=1e-6)
    assert found[0].guesses[0][1] == "\\xc3"  # the first byte of é, alone no character
