"""Seeds depend on every name, and on nothing else."""

from dgad.seeds import seed_for


def test_seeds_are_stable_and_differ_by_name() -> None:
    assert seed_for(0, "grid", "episodes") == seed_for(0, "grid", "episodes")
    seeds = {seed_for(0, "grid", "episodes"), seed_for(1, "grid", "episodes"), seed_for(0, "gridepisodes")}
    assert len(seeds) == 3
    assert all(0 <= s < 2**63 for s in seeds)
