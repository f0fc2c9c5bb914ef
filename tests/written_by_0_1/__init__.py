"""Files that dgad 0.1.0 wrote before its modules lay in packages, and tests that they open.

`files.tar.gz` holds three synthetic surfaces of 32 px (`data`), a finished study of them (`runs`, without its
report and without the weights of its shared fits), its bundle (`runs/old/bundle`), a reference store of one
domain (`store`), and the scores that version gave with them: `cli_scores.json` of `dgad score`, and
`service_scores.json` of the service's scorer.
"""
