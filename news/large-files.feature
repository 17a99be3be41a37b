Included files are no longer held in memory while they are sent, however large they are; one that changes while it is deployed is refused by name.
