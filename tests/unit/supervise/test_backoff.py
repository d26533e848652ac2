from tsujiban.supervise.backoff import Backoff
from tsujiban.supervise.spec import ProcessSpec, Restart


def _backoff(restart: Restart = Restart.ALWAYS) -> Backoff:
    return Backoff(ProcessSpec(name="a", argv=("x",), restart=restart))


def test_doubles_to_the_ceiling() -> None:
    backoff = _backoff()
    delays = [backoff.after_exit(0.0, 1) for _ in range(8)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_starts_over_after_a_long_life_only() -> None:
    backoff = _backoff()
    backoff.after_exit(0.0, 1)
    assert backoff.after_exit(29.9, 1) == 0.4
    assert backoff.after_exit(30.0, 1) == 0.2


def test_policies() -> None:
    assert _backoff(Restart.NEVER).after_exit(0, 1) is None
    assert _backoff(Restart.ON_FAILURE).after_exit(0, 0) is None
    assert _backoff(Restart.ON_FAILURE).after_exit(0, -9) == 0.2
    assert _backoff(Restart.ALWAYS).after_exit(0, 0) == 0.2
