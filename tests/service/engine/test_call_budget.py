import math

from service.engine.call_budget import MIN_STEPS_MEASURED, CallBudget


def test_a_call_has_the_steps_that_fit_into_its_time() -> None:
    budget = CallBudget(0.020, 32)
    budget.observe(8, 10, 0.010)
    assert (budget.steps(8), budget.steps(8, share=0.5)) == (20, 10)
    budget.observe(4, 10, 0.001)
    assert budget.steps(4) == 32  # the most
    budget.observe(64, 4, 0.4)
    assert budget.steps(64) == 1  # the fewest


def test_before_any_call_is_measured_calls_are_short() -> None:
    assert CallBudget(0.020, 32).steps(8) == MIN_STEPS_MEASURED
    assert CallBudget(0.020, 2).steps(8) == 2
    assert CallBudget(math.inf, 32).steps(8) == 32  # no limit but the steps


def test_an_unknown_number_of_rows_is_expected_to_cost_what_the_nearest_does_or_more() -> None:
    budget = CallBudget(0.020, 32)
    budget.observe(16, 10, 0.020)
    assert (budget.steps(8), budget.steps(32)) == (10, 5)
    budget.observe(4, 10, 0.010)
    assert (budget.steps(8), budget.steps(12)) == (10, 10)


def test_the_measured_time_follows_the_machine() -> None:
    budget = CallBudget(0.020, 1000)
    budget.observe(8, 10, 0.010)
    budget.observe(8, 10, 0.100)
    assert 3 < budget.steps(8) < 20
    for _ in range(50):
        budget.observe(8, 10, 0.005)
    assert budget.steps(8) in (39, 40)


def test_the_fixed_cost_of_a_short_call_does_not_shorten_the_others() -> None:
    budget = CallBudget(0.020, 32)
    budget.observe(8, 10, 0.010)
    for _ in range(50):
        budget.observe(8, 2, 0.008)
    assert budget.steps(8) == 20


def test_the_time_of_steps_that_are_too_slow_for_more_than_a_few_is_followed_too() -> None:
    budget = CallBudget(0.020, 32)
    budget.observe(64, 2, 0.020)
    assert budget.steps(64) == 2
    for _ in range(50):
        budget.observe(64, budget.steps(64), 0.040 * budget.steps(64))
    assert budget.steps(64) == 1
    for _ in range(50):
        budget.observe(64, budget.steps(64), 0.004 * budget.steps(64))
    assert budget.steps(64) in (4, 5)
