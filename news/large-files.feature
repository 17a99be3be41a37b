Large files of the configuration are no longer copied on the host once they have arrived there.
