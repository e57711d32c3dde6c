"""A partition is stuck when it has work and its position stays; nothing else is."""

from creditstream.kafka.watchdog import Standing, Watchdog


def test_work_without_progress_is_noticed_after_the_time_and_not_before() -> None:
    dog: Watchdog[str] = Watchdog(60)
    assert dog.blocking_age() == 0, "it has seen nothing yet"
    assert dog.look({"p": Standing(5, 9)}, 0) == []
    assert dog.look({"p": Standing(5, 20)}, 59) == []
    assert dog.look({"p": Standing(5, 20)}, 60) == ["p"]
    assert dog.blocking_age() == 60
    assert dog.look({"p": Standing(6, 20)}, 61) == []
    assert dog.blocking_age() == 0


def test_an_idle_partition_is_never_stuck_and_its_time_starts_with_its_next_record() -> None:
    dog: Watchdog[str] = Watchdog(60)
    for now in (0, 100, 200):
        assert dog.look({"p": Standing(5, 5)}, now) == []
    assert dog.look({"p": Standing(5, 6)}, 259) == []
    assert dog.look({"p": Standing(5, 6)}, 260) == ["p"]


def test_a_rebalance_starts_anew() -> None:
    dog: Watchdog[str] = Watchdog(60)
    dog.look({"p": Standing(5, 9)}, 0)
    dog.look({}, 30)
    assert dog.look({"p": Standing(5, 9)}, 70) == []
    assert dog.look({"p": Standing(5, 9)}, 130) == ["p"]


def test_silence_is_noticed_after_the_time_and_not_before_and_a_word_ends_it() -> None:
    """As the runtime watches the group: the same standing for as long as it is silent, none when it is heard."""
    dog: Watchdog[str] = Watchdog(60)
    silent = {"group": Standing(0, 1)}
    assert not dog.look(silent, 0)
    assert not dog.look(silent, 59)
    assert dog.look(silent, 60)
    assert not dog.look({}, 61)
    assert not dog.look(silent, 62), "its time starts anew"
    assert not dog.look(silent, 121)
    assert dog.look(silent, 122)
