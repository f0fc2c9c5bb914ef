"""`dgad-serve keys`: a key is shown once, listed by name, and refused when it is revoked."""

import json
from pathlib import Path

from serve.keys import KeyRing
from tests.conftest import Run


def test_a_key_is_made_listed_and_revoked(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "references"
    assert "has no keys" in run("keys", "list", "--store", store, script="dgad-serve").stdout
    done = run("keys", "create", "line-4", "--store", store, script="dgad-serve")
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    assert "from now on every request needs a key" in done.stderr
    assert key not in done.stderr
    ring = KeyRing(store)
    ring.refresh()
    found = ring.check(key)
    assert found is not None
    assert (found.name, found.scope) == ("line-4", "write")
    second = json.loads(
        run(
            "keys", "create", "screen", "--scope", "read", "--store", store, "--json", script="dgad-serve"
        ).stdout
    )
    assert second["scope"] == "read"
    listed = run("keys", "list", "--store", store, "--json", script="dgad-serve").stdout
    assert [k["name"] for k in json.loads(listed)["keys"]] == ["line-4", "screen"]
    shown = run("keys", "list", "--store", store, script="dgad-serve").stdout
    assert "line-4" in shown
    assert key not in shown + listed
    assert "1 are left" in run("keys", "revoke", "line-4", "--store", store, script="dgad-serve").stdout
    ring.refresh()
    assert ring.check(key) is None
    refused = run("keys", "open", "--store", store, script="dgad-serve")
    assert refused.returncode == 2
    assert "There are keys (screen): revoke them first" in refused.stderr
    last = run("keys", "revoke", "screen", "--store", store, script="dgad-serve").stdout
    assert "none is left, so nobody is answered" in last
    assert "dgad-serve keys open" in last
    assert "needs no keys on loopback" in run("keys", "open", "--store", store, script="dgad-serve").stdout
    assert "needs none" in run("keys", "list", "--store", store, script="dgad-serve").stdout


def test_mistakes_with_keys(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "references"
    run("keys", "create", "a", "--store", store, script="dgad-serve")
    for arguments, told in (
        (("create", "a"), "There is a key 'a' already"),
        (("create", "-b-", "--scope", "read"), ""),
        (("create", "b c"), "A key's name must be"),
        (("create", "b", "--scope", "all"), "'all' is not one of 'read', 'write'"),
        (("revoke", "b"), "There is no key 'b'"),
    ):
        done = run("keys", *arguments, "--store", store, script="dgad-serve")
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
