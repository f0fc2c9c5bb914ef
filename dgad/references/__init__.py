"""Reference stores: per domain the normal photographs that queries are compared with, in versions.

What a store holds, under any folder or URI that `dgad.storage.Storage` takes:

    store.json                               format version
    domains/NAME/changes/00000001.json ...   one immutable object a change; the last one is what holds
    domains/NAME/images/ID                   the photographs as they came, by the SHA-256 of their bytes
    domains/NAME/fingerprints/ID             a small thumbnail of each, for finding near duplicates
    domains/NAME/enrolled/KEY.safetensors    what a bundle makes of the current references, made again
                                             from the images wherever it is missing or damaged

A change is acknowledged when its object is there, and each one repeats the whole current version, so that
what a crash leaves behind is either the old state or the new one.
"""
