A deployment waits for the host two or three times less, and the script ends at once after its last line. No small packet waits for the
acknowledgement of another one.
