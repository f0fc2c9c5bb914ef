"""Parts of the domain-generalisation methods: classifiers of whole images that transfer between domains."""
