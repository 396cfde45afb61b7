import numpy as np

from service.model.guesses import NO_GUESSES, guesses_of


def test_guesses_are_pairs_and_a_copy() -> None:
    symbols, logprobs = np.array([[3, 1], [2, 3]], np.int32), np.array([[-1, -2], [-0.5, -4]], np.float32)
    guesses = guesses_of(symbols, logprobs)
    symbols[:], logprobs[:] = 0, 0
    assert guesses.tolist() == [[(3, -1), (1, -2)], [(2, -0.5), (3, -4)]]
    assert np.concatenate([guesses, guesses])[1:3].tolist() == [[(2, -0.5), (3, -4)], [(3, -1), (1, -2)]]


def test_no_guesses_are_those_of_any_number_of_symbols() -> None:
    assert NO_GUESSES[2:5].shape == np.concatenate([NO_GUESSES, NO_GUESSES]).shape == NO_GUESSES.shape
