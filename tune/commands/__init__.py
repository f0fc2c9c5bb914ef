"""The commands of `dgad-tune`: options in, text or JSON out; what they do lies below."""
