"""Jobs on a Ray that runs: this installation's code shipped, commands submitted, followed and stopped."""
