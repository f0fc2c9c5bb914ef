"""Leases of running fits: one holder at a time, and none for ever."""

from tune.fits.lease_table import LeaseTable


class Clock:
    """Time that a test moves on."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_fit_has_one_holder_until_it_is_released() -> None:
    table = LeaseTable(term_s=30, clock=Clock())
    assert table.acquire("fit", "a")
    assert not table.acquire("fit", "b")
    assert table.acquire("other", "b")
    table.release("fit", "b")  # not b's to release
    assert not table.acquire("fit", "b")
    table.release("fit", "a")
    assert table.acquire("fit", "b")


def test_a_silent_holder_loses_its_fit_and_one_that_is_heard_keeps_it() -> None:
    clock = Clock()
    table = LeaseTable(term_s=30, clock=clock)
    assert table.acquire("fit", "a")
    for clock.now_s in (20, 40, 60):
        assert table.renew("fit", "a")
    clock.now_s = 89
    assert not table.acquire("fit", "b")
    clock.now_s = 91
    assert table.acquire("fit", "b")
    assert not table.renew("fit", "a")
    table.release("fit", "a")
    assert not table.acquire("fit", "c")


def test_a_table_made_anew_learns_living_leases_from_their_holders() -> None:
    table = LeaseTable(term_s=30, clock=Clock())
    assert table.renew("fit", "a")
    assert not table.acquire("fit", "b")
