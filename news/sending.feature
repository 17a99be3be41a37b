Files are sent as fast as `scp` does it, with the quickest cipher that both sides know; text is compressed.
